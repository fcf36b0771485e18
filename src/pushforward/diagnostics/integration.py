"""Integrals of a density: quadrature in one and two dimensions, importance sampling in up to eight."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pushforward.domain import REAL, Domain
from pushforward.errors import OptionError
from pushforward.flow import Flow
from pushforward.noise import has_role
from pushforward.transforms import Identity
from pushforward.transforms.base import Chain, steps
from pushforward.transforms.dequantisation import dequantisation

IMPORTANCE_LIMIT = 8
_CHUNK = 65536
# Points along one axis, for 1 and 2 dimensions: the grid is doubled until the integral no longer changes.
_LADDERS = {1: (25_000, 50_000, 100_000, 200_000), 2: (100, 200, 400, 800)}
_EVENTS = 4096  # largest number of integer events to sum over
# A grid converges with the square of its step, so the error is about a third of the last change.
_CONVERGED = 5e-5


@dataclass(frozen=True)
class Integral:
    """An integral of a density, or a sum over all events of integers.

    error: the change from a grid half as fine, or a standard error. points: the number of points, draws or events.
    """

    value: float
    error: float
    method: Literal["quadrature", "importance", "summation"]
    points: int


def continuous_part(flow: Flow) -> Flow:
    """The flow without its dequantisation: the density of continuous values, whose floors are the integer data.

    It shares its parameters with ``flow``. A flow on continuous data is returned unchanged.
    """
    if dequantisation(flow.transform) is None:
        return flow
    later = steps(flow.transform)[1:]
    rest = Chain(later) if later else Identity(flow.event_shape)
    part = flow.with_transform(rest)
    part.to(dtype=flow.dtype, device=flow.device).train(flow.training)
    return part


def integrate(flow: Flow, context: Tensor | None = None, seed: int = 0, samples: int = 20_000) -> Integral:
    """The integral of the density over its whole domain, given one context row ``(1, *context_shape)`` or none.

    Up to 2 dimensions by quadrature, on a grid that reaches to infinity and is placed by samples. Up to 8 dimensions,
    and for bounds, by importance sampling from a widened Student's t fitted to samples. For integer data the integral
    is that of the continuous values before dequantisation; without a `Dequantisation` it is the sum over all events.
    Raises OptionError for more dimensions or events.
    """
    flow = continuous_part(flow)
    size = math.prod(flow.event_shape)
    if size > IMPORTANCE_LIMIT:
        raise OptionError(f"integrals reach up to {IMPORTANCE_LIMIT} dimensions, got an event of {size}")
    generator = torch.Generator(flow.device).manual_seed(seed)
    if support(flow).kind == "integers":
        return _summation(flow, context, generator, samples)
    with torch.no_grad():
        drawn = flow.sample(4000, context, generator=generator).reshape(4000, size).double()
    if support(flow).kind == "ordered":
        drawn = torch.cat([drawn[:, :1], drawn.diff(dim=1)], 1)
    if size <= 2 and not has_role(flow.transform.noise_to_latent, "draw"):
        return _quadrature(flow, context, drawn)
    return _importance(flow, context, drawn, generator, samples)


def support(flow: Flow) -> Domain:
    """The support of the data: the transform's domain or, under the identity, the base's support."""
    return flow.base.support if isinstance(flow.transform, Identity) else flow.transform.domain


def _ends(flow: Flow) -> list[Domain]:
    """The ranges of the integration coordinates.

    For ordered vectors these are the first coordinate and the differences of neighbours, which preserves volumes.
    """
    domain, size = support(flow), math.prod(flow.event_shape)
    if domain.kind == "ordered":
        return [REAL, *[Domain("real", 0.0)] * (size - 1)]
    return [domain.coordinate(i) for i in range(size)]


@torch.no_grad()
def _density(flow: Flow, points: Tensor, context: Tensor | None, generator: torch.Generator | None = None) -> Tensor:
    """The log-density, or the log weight of one noise draw, at points in the coordinates of `_ends`."""
    points = points.cumsum(1) if support(flow).kind == "ordered" else points
    parts = []
    for start in range(0, points.shape[0], _CHUNK):
        x = points[start : start + _CHUNK].to(flow.dtype).reshape(-1, *flow.event_shape)
        parts.append(flow.log_prob(x, context, generator=generator).double())
    return torch.cat(parts)


def _axis(domain: Domain, drawn: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """``count`` midpoints over the range of one coordinate, and the lengths of their cells."""
    step = 2 / count
    t = torch.arange(count, dtype=torch.float64, device=drawn.device).add(0.5).mul(step).sub(1)
    low, high = domain.low, domain.high
    if math.isfinite(low) and math.isfinite(high):
        # Denser at both ends, because densities of bounded values may rise steeply there.
        return low + (high - low) * (1 - (math.pi * (t + 1) / 2).cos()) / 2, (
            (high - low) * math.pi / 4 * (math.pi * (t + 1) / 2).sin() * step
        )
    quartiles = drawn.quantile(torch.tensor([0.25, 0.5, 0.75], dtype=drawn.dtype, device=drawn.device))
    if math.isfinite(low) or math.isfinite(high):
        scale = float((quartiles[1] - (low if math.isfinite(low) else high)).abs())
        v = (1 + t) / (1 - t)
        distance, length = scale * v.square(), scale * 2 * v * 2 / (1 - t).square() * step
        return (low + distance if math.isfinite(low) else high - distance), length
    scale = 2 * float(quartiles[2] - quartiles[0])
    ends = 1 - t.square()
    return quartiles[1] + scale * t / ends, scale * (1 + t.square()) / ends.square() * step


def _grid_sum(flow: Flow, context: Tensor | None, drawn: Tensor, count: int) -> float:
    axes = [_axis(end, drawn[:, i], count) for i, end in enumerate(_ends(flow))]
    points = torch.cartesian_prod(*(axis[0] for axis in axes)).reshape(-1, drawn.shape[1])
    lengths = torch.cartesian_prod(*(axis[1] for axis in axes)).reshape(-1, drawn.shape[1]).prod(1)
    return float((_density(flow, points, context).exp() * lengths).sum())


def _quadrature(flow: Flow, context: Tensor | None, drawn: Tensor) -> Integral:
    size, value, change = drawn.shape[1], math.nan, math.inf
    for count in _LADDERS[size]:
        previous, value = value, _grid_sum(flow, context, drawn, count)
        change = math.inf if math.isnan(previous) else abs(value - previous)
        if change <= _CONVERGED:
            break
    return Integral(value, change, "quadrature", count**size)


def _importance(
    flow: Flow, context: Tensor | None, drawn: Tensor, generator: torch.Generator, samples: int
) -> Integral:
    # The proposal is fitted after bounded coordinates are mapped to the real line.
    ends = _ends(flow)
    points = torch.stack([_unbounded(drawn[:, i], end.low, end.high) for i, end in enumerate(ends)], 1)
    centre = points.mean(0)
    factor = torch.linalg.cholesky(1.5 * torch.cov(points.T) + 1e-9 * torch.eye(points.shape[1]).to(points))
    degrees, size = 5.0, points.shape[1]
    normal = torch.randn(samples, size, generator=generator, dtype=torch.float64, device=points.device)
    gamma = torch.zeros(samples, dtype=torch.float64, device=points.device)
    for _ in range(int(degrees)):
        gamma += torch.randn(samples, generator=generator, dtype=torch.float64, device=points.device).square()
    student = normal / (gamma / degrees).sqrt()[:, None]
    constant = math.lgamma((degrees + size) / 2) - math.lgamma(degrees / 2) - size / 2 * math.log(degrees * math.pi)
    log_q = (
        constant - factor.diagonal().log().sum() - (degrees + size) / 2 * (student.square().sum(1) / degrees).log1p()
    )
    columns = (centre + student @ factor.T).unbind(1)
    x, log_slopes = zip(*(_bounded(y, end.low, end.high) for y, end in zip(columns, ends, strict=True)), strict=True)
    log_p = _density(flow, torch.stack(x, 1), context, generator)
    weights = (log_p + torch.stack(log_slopes).sum(0) - log_q).exp()
    return Integral(float(weights.mean()), float(weights.std() / math.sqrt(samples)), "importance", samples)


@torch.no_grad()
def _summation(flow: Flow, context: Tensor | None, generator: torch.Generator, samples: int) -> Integral:
    domain, size = support(flow), math.prod(flow.event_shape)
    levels = torch.arange(domain.low, domain.high + 1, dtype=torch.float64, device=flow.device)
    count = len(levels) ** size
    if count > _EVENTS:
        raise OptionError(f"sums reach over up to {_EVENTS:,} events, got {len(levels)} ^ {size} of them")
    events = torch.cartesian_prod(*[levels] * size).reshape(count, size)
    draws = max(2, samples // count)
    weights = _density(flow, events.repeat_interleave(draws, 0), context, generator).exp().reshape(count, draws)
    error = (weights.var(1) / draws).sum().sqrt()
    return Integral(float(weights.mean(1).sum()), float(error), "summation", count)


def _unbounded(x: Tensor, low: float, high: float) -> Tensor:
    """Values of an interval, mapped to the real line."""
    if math.isfinite(low) and math.isfinite(high):
        return torch.logit(((x - low) / (high - low)).clamp(1e-12, 1 - 1e-12))
    if math.isfinite(low):
        return (x - low).clamp(min=1e-300).log()
    if math.isfinite(high):
        return (high - x).clamp(min=1e-300).log()
    return x


def _bounded(y: Tensor, low: float, high: float) -> tuple[Tensor, Tensor]:
    """The inverse of `_unbounded`, with the log of its derivative."""
    if math.isfinite(low) and math.isfinite(high):
        s = y.sigmoid()
        slope = torch.nn.functional.logsigmoid(y) + torch.nn.functional.logsigmoid(-y) + math.log(high - low)
        return low + (high - low) * s, slope
    if math.isfinite(low):
        return low + y.exp(), y
    if math.isfinite(high):
        return high - y.exp(), y
    return y, torch.zeros_like(y)
