"""Grids: the values of which all numbers of a column are, such as integers and decimals of few digits."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pushforward.array_types import Array
from pushforward.estimators.columns.standard import Distinct

# Floats beyond this are not taken for integers.
_LARGEST = 2.0**40
# Values that are no integers lie on a grid if each is repeated so often on average, if this fraction of its cells
# is taken, and if the values are too many for a coincidence.
_REPEATS, _TAKEN, _FEWEST = 2.0, 0.05, 6
# Rows, and different whole numbers, enough to say that all are multiples of 10 or 1,000.
_MANY_ROWS, _MANY_NUMBERS = 50, 10
# The largest distance from the grid, in steps, of values that were rounded after they were scaled.
_ROUNDING = 0.02
_MOST_DIGITS = 12


class Steps(NamedTuple):
    """The values ``offset + k * step`` for integers k, rounded to ``digits`` decimal places."""

    step: float
    offset: float = 0.0
    digits: int | None = None


def find_grid(rest: Distinct, single: bool) -> Steps | None:
    """The grid of the values: whole numbers, or, where values repeat, decimals or equal steps; None if there is none.

    single: whether the values are in single precision.
    """
    values = rest.values
    if np.abs(values).max() > _LARGEST:
        return None
    if (values == np.floor(values)).all():
        return whole_steps(rest)
    if len(rest) * _REPEATS > rest.rows or len(rest) < _FEWEST:
        return None
    most = len(rest) / _TAKEN
    for digits in range(1, 7):
        cells = values * 10.0**digits
        if cells[-1] - cells[0] > most:
            break
        if np.diff(cells).min() < 0.99:
            continue
        tolerance = np.abs(cells) * (1e-6 if single else 1e-14) + 1e-9
        if tolerance.max() < 0.1 and (np.abs(cells - np.rint(cells)) <= tolerance).all():
            return Steps(float(10.0**-digits))
    return next((grid for divisor in (1, 2, 3, 4, 5) if (grid := _equal_steps(values, divisor, most))), None)


def whole_steps(rest: Distinct) -> Steps:
    """The grid of whole numbers: the multiples of the greatest common divisor of many, else all integers."""
    values = rest.values
    many = rest.rows >= _MANY_ROWS and len(rest) >= _MANY_NUMBERS and np.abs(values).max() <= _LARGEST
    return Steps(float(np.gcd.reduce(values.astype(np.int64))) if many else 1.0)


def _equal_steps(values: Array, divisor: int, most: float) -> Steps | None:
    """The grid of which the shortest distance is ``divisor`` steps, if all values are on it up to rounding."""
    gaps = np.diff(values)
    step, offset = float(gaps.min()) / divisor, float(values[0])
    for _ in range(2):
        # Counted from gap to gap, so that an error of the step does not add up before the fit removes it.
        places = np.concatenate([[0.0], np.cumsum(np.rint(gaps / step))])
        if places[-1] > most:
            return None
        step, offset = (float(value) for value in np.polyfit(places, values, 1))
    if (np.abs((values - offset) / step - places) > _ROUNDING).any():
        return None
    digits = next((d for d in range(_MOST_DIGITS + 1) if (np.round(values, d) == values).all()), None)
    return Steps(step, offset, digits)
