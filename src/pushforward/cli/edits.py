"""Sheets of images for `pushforward sweep`, `manipulate` and `reconstruct`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from pushforward.array_types import Array
from pushforward.data import DataSet
from pushforward.errors import DataError, OptionError
from pushforward.evaluation.latent_edits import (
    AMOUNTS,
    TEMPERATURES,
    along_direction,
    attribute_direction,
    partial_reconstruction,
    scale_count,
    temperature_sweep,
)
from pushforward.flow import Flow
from pushforward.rows import Rows, rows_of

# The largest number of values of a sheet; `sample` and `decode` work in pieces and allow more.
_MOST_VALUES = 1 << 24


def sweep_sheet(
    flow: Flow, temperatures: Sequence[float] | None, n: int, context: Array | None, seed: int
) -> tuple[Array, Array | None]:
    """Events ``(T, n * B, *event)`` and the context of each one, if any."""
    chosen = tuple(temperatures or TEMPERATURES)
    conditions = 1 if context is None else len(context)
    if n < 1:
        raise OptionError(f"n must be at least 1, got {n}")
    _require_room(flow, n * conditions * len(chosen))
    given = None if context is None else torch.as_tensor(context, device=flow.device)
    x = temperature_sweep(flow, chosen, n, given, seed).cpu().numpy()
    return x, None if context is None else np.concatenate([context] * (n * len(chosen)))


def attribute_sheet(
    flow: Flow,
    data: DataSet,
    label: int,
    against: int | None,
    rows: Sequence[int] | None,
    amounts: Sequence[float] | None,
    max_rows: int,
    seed: int,
) -> Array:
    """The examples with growing amounts of an attribute, ``(B, A, *event)``. Raises DataError, OptionError."""
    if data.labels is None:
        raise DataError(f"{data.name}: an attribute is a class of the data, but these data have no class labels")
    if max_rows < 1:
        raise OptionError(f"max-rows must be at least 1, got {max_rows}")
    if against == label:
        raise OptionError(
            f"the rows of class {label} cannot both have and lack the attribute; choose another --against"
        )
    having, lacking = data.labels == label, data.labels != label if against is None else data.labels == against
    for name, side in (("label", having), ("against", lacking)):
        if not side.any():
            value = label if name == "label" else "others" if against is None else against
            raise DataError(f"--{name} {value}: {data.name} has no rows of this class")
    rng = np.random.default_rng(seed)
    sides = [rows_of(flow, data, rng.permutation(np.flatnonzero(side))[:max_rows]) for side in (having, lacking)]
    direction = attribute_direction(flow, sides[0], sides[1], seed)
    part = _examples(flow, data, rng.permutation(np.flatnonzero(lacking))[:4] if rows is None else rows)
    chosen = tuple(amounts or AMOUNTS)
    _require_room(flow, len(part) * len(chosen))
    x, context = part.on(flow)
    moved = along_direction(flow, x, direction, chosen, context, seed)
    return np.asarray(moved.cpu().numpy())


def reconstruction_sheet(
    flow: Flow, data: DataSet, rows: Sequence[int] | None, keep: Sequence[int] | None, temperature: float, seed: int
) -> Array:
    """The examples reconstructed from fewer and fewer scales, ``(B, K, *event)``. Raises DataError, OptionError."""
    if not temperature > 0:
        raise OptionError(f"temperature must be above 0, got {temperature}")
    scales = scale_count(flow)
    part = _examples(flow, data, np.random.default_rng(seed).permutation(len(data))[:8] if rows is None else rows)
    kept = tuple(range(scales, -1, -1)) if keep is None else tuple(keep)
    _require_room(flow, len(part) * len(kept))
    x, context = part.on(flow)
    return np.asarray(partial_reconstruction(flow, x, kept, context, temperature, seed).cpu().numpy())


def _examples(flow: Flow, data: DataSet, rows: Sequence[int] | Array) -> Rows:
    if len(rows) and not 0 <= min(rows) <= max(rows) < len(data):
        raise DataError(f"{data.name}: rows from 0 to {len(data) - 1} expected, got {', '.join(map(str, rows))}")
    return rows_of(flow, data, np.asarray(rows))


def _require_room(flow: Flow, count: int) -> None:
    most = max(1, _MOST_VALUES // math.prod(flow.event_shape))
    if count > most:
        raise OptionError(f"a sheet holds at most {most:,} examples of this size, got {count:,}")
