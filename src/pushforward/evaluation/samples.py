"""Samples of a flow for comparison with rows of data, and the fraction of values clamped at the ends of the range."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pushforward.array_types import Array
from pushforward.diagnostics.integration import continuous_part
from pushforward.flow import Flow
from pushforward.rows import Rows
from pushforward.transforms.dequantisation import dequantisation

_BATCH = 512


@torch.no_grad()
def draw(flow: Flow, n: int, rows: Rows, seed: int) -> tuple[Array, Rows]:
    """``n`` samples, float64, and rows to compare them with.

    An unconditional flow is compared with at most ``n`` of the rows. A conditional flow is sampled once for the context
    of each of ``n`` rows, which repeat if there are fewer.
    """
    samples = np.concatenate([x.cpu().double().numpy() for x in _samples(flow, n, rows, seed)])
    return samples, _random_rows(rows, min(n, len(rows)) if rows.context is None else n, seed)


def _random_rows(rows: Rows, n: int, seed: int) -> Rows:
    """``n`` rows in random order, which repeat if there are fewer."""
    return rows.take(np.resize(np.random.default_rng(seed).permutation(len(rows)), n))


def _samples(flow: Flow, n: int, rows: Rows, seed: int) -> Iterator[Tensor]:
    """``n`` samples, batch by batch, each given the context of one of the `_random_rows` where there is a context."""
    generator = torch.Generator(device=flow.device).manual_seed(seed)
    if rows.context is None:
        for start in range(0, n, _BATCH):
            yield flow.sample(min(_BATCH, n - start), generator=generator)
    else:
        for _, _, context in _random_rows(rows, n, seed).batches(flow, _BATCH):
            yield flow.sample(1, context, generator=generator)[0]


@dataclass(frozen=True)
class Clamping:
    """Fractions of sampled values that fell outside the range and were moved to its ends.

    low, high: of all values, by end. rows: of samples with at least one such value. drawn: the number of samples.
    at_low, at_high: of sampled values that equal an end, clamped or not; data_low, data_high: the same of the data.
    """

    low: float
    high: float
    rows: float
    drawn: int
    at_low: float
    at_high: float
    data_low: float
    data_high: float


@torch.no_grad()
def clamping(flow: Flow, rows: Rows, seed: int, n: int = 512) -> Clamping | None:
    """Clamped fractions of the values of ``n`` samples; None for a flow that does not begin with a dequantisation."""
    first, unclamped = dequantisation(flow.transform), continuous_part(flow)
    if first is None:
        return None
    top, below, above, at_low, at_high, clamped = first.levels - 1, 0, 0, 0, 0, 0
    for y in _samples(unclamped, n, rows, seed):
        level = (y * first.levels).floor()
        low, high = level < 0, level > top
        below, above = below + int(low.sum()), above + int(high.sum())
        at_low, at_high = at_low + int((level <= 0).sum()), at_high + int((level >= top).sum())
        clamped += int((low | high).flatten(1).any(1).sum())
    values = n * math.prod(flow.event_shape)
    return Clamping(
        low=below / values,
        high=above / values,
        rows=clamped / n,
        drawn=n,
        at_low=at_low / values,
        at_high=at_high / values,
        data_low=float((rows.x == 0).cpu().double().mean()),
        data_high=float((rows.x == top).cpu().double().mean()),
    )
