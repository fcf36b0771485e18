"""Grids: the values of which all numbers of a column are, such as integers and decimals of few digits."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pushforward.array_types import Array
from pushforward.estimators.columns.standard import Distinct

# Floats beyond this are not taken for integers.
_LARGEST = 2.0**40
# Values that are no integers lie on a grid if they are repeated so often on average, and the grid has so many cells.
_REPEATS, _MOST_CELLS = 2.0, 10_000_000


class Steps(NamedTuple):
    """The values ``offset + k * step`` for integers k."""

    step: float
    offset: float = 0.0


def find_grid(rest: Distinct, single: bool) -> Steps | None:
    """The grid of the values: integers, or, where values repeat, decimals or equal steps; None if there is none.

    single: whether the values are in single precision.
    """
    values = rest.values
    if np.abs(values).max() > _LARGEST:
        return None
    if (values == np.floor(values)).all():
        return Steps(1.0)
    if len(rest) * _REPEATS > rest.rows or len(rest) < 3:
        return None
    relative = 1e-6 if single else 1e-14
    for digits in range(1, 7):
        if _fits(values * 10.0**digits, relative, 1e-9):
            return Steps(float(10.0**-digits))
    shortest = float(np.diff(values).min())
    for divisor in (1, 2, 3, 4, 5):
        cells = (values - values[0]) / shortest * divisor
        if cells[-1] > _MOST_CELLS:
            return None
        # The shortest distance has the rounding of its two ends, which the number of cells multiplies.
        step = (values[-1] - values[0]) / np.rint(cells[-1])
        if _fits((values - values[0]) / step, relative, 1e-4 if single else 1e-6):
            return Steps(float(step), float(values[0]))
    return None


def _fits(cells: Array, relative: float, absolute: float) -> bool:
    tolerance = np.abs(cells) * relative + absolute
    return bool(tolerance.max() < 0.1 and (np.abs(cells - np.rint(cells)) <= tolerance).all())
