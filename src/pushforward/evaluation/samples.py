"""Samples of a flow beside rows of data, and how many of their values are clamped at the ends of the range."""

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


@torch.no_grad()
def draw(flow: Flow, n: int, rows: Rows, seed: int) -> tuple[Array, Rows]:
    """``n`` samples, float64, and as many of the rows to compare them with.

    A conditional flow gives one sample for the context of each row, and no more samples than there are rows.
    """
    beside = _random_rows(rows, n if rows.context is None else min(n, len(rows)), seed)
    return np.concatenate([x.double().cpu().numpy() for x in _samples(flow, beside, seed)]), beside


def _random_rows(rows: Rows, n: int, seed: int) -> Rows:
    """``n`` rows in random order, taken again from the first where there are fewer."""
    return rows.take(np.resize(np.random.default_rng(seed).permutation(len(rows)), n))


def _samples(flow: Flow, beside: Rows, seed: int) -> Iterator[Tensor]:
    """A sample for each row of ``beside``, given its context, batch by batch."""
    generator = torch.Generator(device=flow.device).manual_seed(seed)
    for _, x, context in beside.batches(flow):
        yield flow.sample(len(x) if context is None else 1, context, generator=generator).reshape(-1, *flow.event_shape)


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
    """How many values of ``n`` samples the dequantisation clamps; None for a flow that does not begin with one."""
    first, unclamped = dequantisation(flow.transform), continuous_part(flow)
    if first is None:
        return None
    top, below, above, at_low, at_high, clamped = first.levels - 1, 0, 0, 0, 0, 0
    for y in _samples(unclamped, _random_rows(rows, n, seed), seed):
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
        data_low=float((rows.x == 0).double().mean()),
        data_high=float((rows.x == top).double().mean()),
    )
