"""Edits of latents, decoded to data: temperatures, attribute directions, coarse scales alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.errors import DataError, OptionError, ShapeError
from pushforward.evaluation.interpolation import decode, encode
from pushforward.events import leading_axis
from pushforward.flow import Flow
from pushforward.inputs import inner
from pushforward.precision import in_float64
from pushforward.rows import Rows, row_latents
from pushforward.transforms import MultiScale
from pushforward.transforms.base import steps

# The defaults of the command line and of the report.
TEMPERATURES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
AMOUNTS = (0.0, 0.25, 0.5, 0.75, 1.0)


@torch.no_grad()
def temperature_sweep(
    flow: Flow, temperatures: Sequence[float], n: int = 8, context: Tensor | None = None, seed: int = 0
) -> Tensor:
    """The same ``n`` draws at each temperature: ``(T, n, *event)``, or ``(T, n * B, *event)`` for ``B`` contexts.

    A temperature (> 0) scales the distance of latents from the centre of the base; the draws are otherwise the same.
    Raises OptionError, ContextError.
    """
    if not temperatures:
        raise OptionError("a sweep needs at least one temperature, got none")
    rows = []
    for temperature in temperatures:
        generator = torch.Generator(device=flow.device).manual_seed(seed)
        rows.append(
            flow.sample(n, context, temperature=temperature, generator=generator).reshape(-1, *flow.event_shape)
        )
    return torch.stack(rows)


@dataclass(frozen=True)
class Attribute:
    """Examples of one class, and the direction of latents from it to another; classes: their two labels."""

    examples: Rows
    direction: Tensor
    classes: tuple[int, int]


@torch.no_grad()
def attribute_direction(flow: Flow, having: Rows, lacking: Rows, seed: int = 0) -> Tensor:
    """The mean latent of the rows that have an attribute minus that of those that lack it, ``(*latent,)``.

    Source: Kingma & Dhariwal, "Glow", 2018, section 5.2. Raises DataError where a side has no rows.
    """
    means = []
    for name, part in (("have", having), ("lack", lacking)):
        if not len(part):
            raise DataError(f"no rows {name} the attribute, so its direction is undefined")
        total = sum(in_float64(flow.base.to_unbounded(z)).sum(0) for z in row_latents(flow, part, seed))
        means.append(torch.as_tensor(total) / len(part))
    return (means[0] - means[1]).to(flow.device, flow.dtype)


@torch.no_grad()
def along_direction(
    flow: Flow, x: Tensor, direction: Tensor, amounts: Sequence[float], context: Tensor | None = None, seed: int = 0
) -> Tensor:
    """``x: (B, *event)`` with ``amount * direction`` added to their latents: ``(B, len(amounts), *event)``.

    context: ``(B, *context_shape)`` or labels, for a conditional flow. Raises ShapeError, ContextError, OptionError.
    """
    _require_events(flow, x)
    z, contexts = encode(flow, x, context, seed)
    scales = leading_axis(torch.tensor(list(amounts), dtype=z.dtype, device=z.device), direction.ndim + 1)
    moved = (z[:, None] + scales * direction.to(z)).flatten(0, 1)
    repeated = None if contexts is None else contexts.repeat_interleave(len(amounts), 0)
    return decode(flow, moved, repeated, seed).reshape(len(x), len(amounts), *flow.event_shape)


def scale_count(flow: Flow) -> int:
    """The number of scales of the latent; 1 for a flow that is not multi-scale."""
    return len(_scale_sizes(flow))


def _scale_sizes(flow: Flow) -> tuple[int, ...]:
    """The number of latent coordinates of each scale, the finest first."""
    last = steps(flow.transform)[-1]
    return last.part_sizes if isinstance(last, MultiScale) else (math.prod(last.latent_shape),)


@torch.no_grad()
def partial_reconstruction(
    flow: Flow,
    x: Tensor,
    kept: Sequence[int],
    context: Tensor | None = None,
    temperature: float = 1.0,
    seed: int = 0,
) -> Tensor:
    """Reconstructions of ``x: (B, *event)`` from its coarsest scales, the finer ones sampled: ``(B, K, *event)``.

    kept: numbers of coarsest scales to keep, from all (which returns ``x``) to 0 (a sample). Within a row the same
    draws replace the finer scales. temperature: of these draws. context: as in `along_direction`. Raises OptionError
    for a flow with a single scale or for a number out of range, ShapeError, ContextError.

    Source: Dinh, Sohl-Dickstein & Bengio, "Density estimation using Real NVP", 2017, appendix D.
    """
    sizes = _scale_sizes(flow)
    _require_events(flow, x)
    if len(sizes) == 1:
        raise OptionError("partial reconstruction needs a flow with several scales, and this one has a single scale")
    if not kept or not 0 <= min(kept) <= max(kept) <= len(sizes):
        raise OptionError(f"numbers of scales to keep from 0 to {len(sizes)} expected, got {tuple(kept)}")
    z, contexts = encode(flow, x, context, seed)
    generator = torch.Generator(device=z.device).manual_seed(seed)
    conditions = flow.prepare_context(contexts, len(x))
    drawn = flow.base.sample(
        len(x), conditions, temperature=temperature, generator=generator, dtype=z.dtype, device=z.device
    )
    drawn = flow.base.to_unbounded(drawn)
    versions = []
    for count in kept:
        anew = sum(sizes[: len(sizes) - count])
        versions.append(torch.cat([drawn[:, :anew], z[:, anew:]], 1))
    mixed = torch.stack(versions, 1).flatten(0, 1)
    repeated = None if contexts is None else contexts.repeat_interleave(len(kept), 0)
    return decode(flow, mixed, repeated, seed).reshape(len(x), len(kept), *flow.event_shape)


def _require_events(flow: Flow, x: Tensor) -> None:
    if tuple(x.shape[1:]) != flow.event_shape or not len(x):
        raise ShapeError(f"one or more examples of shape ({inner(flow.event_shape)}) expected, got {tuple(x.shape)}")
