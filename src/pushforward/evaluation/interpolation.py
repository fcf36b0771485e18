"""Interpolation in the latent space between given examples: the manifold of four, and the path between two.

Source: Dinh, Sohl-Dickstein & Bengio, "Density estimation using Real NVP", 2017, section 5.2 and figure 4.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pushforward.errors import OptionError, ShapeError
from pushforward.flow import Flow
from pushforward.inputs import inner
from pushforward.precision import evaluation
from pushforward.rows import Rows, row_latents


@torch.no_grad()
def manifold(flow: Flow, x4: Tensor, n: int = 8, context: Tensor | None = None, seed: int = 0) -> Tensor:
    """The manifold that four examples span: ``(n, n, *event)``, angle ``a`` by rows and ``b`` by columns.

    ``z = cos a (cos b z1 + sin b z2) + sin a (cos b z3 + sin b z4)`` with both angles at ``2 pi k / n``. If ``n`` is a
    multiple of four, the examples themselves are at ``[0, 0]``, ``[0, n/4]``, ``[n/4, 0]`` and ``[n/4, n/4]``.

    x4: ``(4, *event)``. context: for a conditional flow, one context for all, or one for each example; four contexts
    are averaged by the squared weights of their latents. seed: of the noise for encoding. Raises ShapeError,
    OptionError, ContextError.
    """
    if tuple(x4.shape) != (4, *flow.event_shape):
        raise ShapeError(f"four examples of shape (4, {inner(flow.event_shape)}) expected, got {tuple(x4.shape)}")
    if n < 1:
        raise OptionError(f"n must be at least 1, got {n}")
    z, contexts = encode(flow, x4, context, seed)
    angles = 2 * math.pi * torch.arange(n, dtype=torch.float64) / n
    a, b = angles[:, None].expand(n, n).flatten(), angles.repeat(n)
    weights = torch.stack([a.cos() * b.cos(), a.cos() * b.sin(), a.sin() * b.cos(), a.sin() * b.sin()], 1)
    return _decode(flow, weights, z, contexts, seed).reshape(n, n, *flow.event_shape)


@torch.no_grad()
def spherical_path(
    flow: Flow, x0: Tensor, x1: Tensor, n: int = 8, context: Tensor | None = None, seed: int = 0
) -> Tensor:
    """``n`` steps ``(n, *event)`` from ``x0`` to ``x1`` along the arc between their latents, both ends included.

    ``z = (sin((1 - t) w) z0 + sin(t w) z1) / sin w`` where ``w`` is the angle between the two. A straight line would
    pass through the improbable middle of the latent space. Opposite latents have no shortest arc and are connected by a
    line.

    x0, x1: ``event`` or ``(1, *event)``. context: for a conditional flow one for both, or two. Raises the errors of
    `manifold`.
    """
    ends = []
    for name, x in (("x0", x0), ("x1", x1)):
        if tuple(x.shape) not in (flow.event_shape, (1, *flow.event_shape)):
            raise ShapeError(f"{name} of shape ({inner(flow.event_shape)}) expected, got {tuple(x.shape)}")
        ends.append(x.reshape(1, *flow.event_shape))
    if n < 2:
        raise OptionError(f"a path needs n of at least 2, got {n}")
    z, contexts = encode(flow, torch.cat(ends), context, seed)
    t = torch.linspace(0, 1, n, dtype=torch.float64)
    first, second = z.cpu().double().flatten(1)
    w = torch.acos((first @ second / (first.norm() * second.norm()).clamp(min=1e-300)).clamp(-1, 1))
    if w < 1e-4 or math.pi - w < 1e-4:
        weights = torch.stack([1 - t, t], 1)
    else:
        weights = torch.stack([((1 - t) * w).sin(), (t * w).sin()], 1) / w.sin()
    return _decode(flow, weights, z, contexts, seed)


def encode(flow: Flow, x: Tensor, context: Tensor | None, seed: int) -> tuple[Tensor, Tensor | None]:
    """Latents ``(B, *latent)`` of ``x`` in unbounded coordinates, and contexts ``(B, *context_shape)``.

    seed: of the noise for encoding, keyed by the row. Raises OptionError like `Base.to_unbounded`.
    """
    with evaluation(flow):
        contexts = flow.context_values(context, x.shape[0])
        if contexts is not None and not contexts.is_floating_point():
            contexts = contexts.cpu().double()  # means of integers are no integers
        z = torch.cat(list(row_latents(flow, Rows(x, contexts), seed)))
        return flow.base.to_unbounded(z), contexts


def _decode(flow: Flow, weights: Tensor, z: Tensor, contexts: Tensor | None, seed: int) -> Tensor:
    """Data ``(M, *event)`` at the mixtures ``weights: (M, B)``, on the CPU, of the latents ``z: (B, *latent)``."""
    mixed = torch.einsum("mb,b...->m...", weights, z.cpu().double()).to(z)
    if contexts is not None:
        # Squared weights sum to 1 on the manifold; on a path they are normalised.
        fractions = weights.square() / weights.square().sum(1, keepdim=True)
        contexts = torch.einsum("mb,b...->m...", fractions, contexts.cpu().double()).to(contexts)
    return decode(flow, mixed, contexts, seed)


def decode(flow: Flow, y: Tensor, contexts: Tensor | None, seed: int) -> Tensor:
    """Data ``(B, *event)`` of latents ``y: (B, *latent)`` in the coordinates of `encode`."""
    generator = torch.Generator(device=y.device).manual_seed(seed)
    return flow.decode(flow.base.from_unbounded(y), contexts, generator=generator)
