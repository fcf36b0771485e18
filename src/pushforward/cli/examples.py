"""Interpolation for `pushforward interpolate`: reading the examples, and the path between them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from pushforward.array_types import Array
from pushforward.cli.parameters import DataSource
from pushforward.cli.reading import read_for
from pushforward.errors import OptionError
from pushforward.evaluation.interpolation import manifold, spherical_path
from pushforward.flow import Flow
from pushforward.rows import Rows, rows_of
from pushforward.storage import SavedModel

_MOST_STEPS = 64


def read_examples(
    model: SavedModel,
    images: Sequence[str],
    data: str | None,
    rows: Sequence[int] | None,
    source: DataSource,
) -> Rows:
    """The two or four examples, from image files or from rows of data. Raises OptionError, DataError."""
    if bool(images) == (data is not None) or (rows is not None and data is None):
        raise OptionError("two or four image files expected, or --data NAME with --rows and row numbers")
    count = len(rows or ()) if data is not None else len(images)
    if count not in (2, 4):
        what = "rows (--rows 0 1 2 3)" if data is not None else "image files"
        raise OptionError(f"two or four {what} expected, got {count}")
    if data is not None and rows is not None:
        dataset = read_for(model, data, source)
        return rows_of(model.flow, dataset.take(np.asarray(rows)), np.arange(count))
    parts = [rows_of(model.flow, read_for(model, image), np.arange(1)) for image in images]
    return Rows(torch.cat([part.x for part in parts]))


def walk(flow: Flow, examples: Rows, steps: int, seed: int) -> Array:
    """Events ``(steps * steps, *event)`` of the manifold of four examples, ``(steps, *event)`` of the path of two."""
    if not 2 <= steps <= _MOST_STEPS:
        raise OptionError(f"steps must be between 2 and {_MOST_STEPS}, got {steps}")
    x, given = examples.on(flow)
    if len(examples) == 4:
        walk = manifold(flow, x, steps, given, seed).flatten(0, 1)
    else:
        walk = spherical_path(flow, x[0], x[1], steps, given, seed)
    return np.asarray(walk.cpu().numpy())
