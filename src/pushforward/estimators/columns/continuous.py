"""Kinds of columns with a number in each row: real, bounded, integer (or another grid) and periodic."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow
from pydantic import Field, field_validator, model_validator

from pushforward.array_types import Array
from pushforward.errors import OptionError
from pushforward.estimators.columns.arrow_types import from_numbers
from pushforward.estimators.columns.circle import Circle
from pushforward.estimators.columns.frequencies import FrequencyScale
from pushforward.estimators.columns.interval import Interval
from pushforward.estimators.columns.kinds import Continuous, numbers_of, tolerance
from pushforward.estimators.columns.standard import Finite

# Integers of this size are exact in double precision.
MOST_CELLS = 2.0**52
MAX_KNOWN = 1_000
# A value with 1 % of the rows is an atom; users and infinities may add some.
MAX_ATOMS = 120
# The distance from an end of a cell, in steps, that is taken for rounding; so many cells are few.
_AT_END, _FEW_CELLS = 1e-6, 100_000
# The encoded value, in standard units from the middle, of numbers on a bound.
_USUAL = 3.0

Step = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _float(arrow: Any) -> Any:
    """The NumPy type in which values of a floating type are stored, and float64 for any other."""
    return arrow.to_pandas_dtype() if pyarrow.types.is_floating(arrow) else np.float64


class Real(Continuous):
    """Any real number."""

    kind: Literal["real"] = "real"

    @property
    def noisy(self) -> bool:
        return False

    @property
    def label(self) -> str:
        return "real"

    @property
    def treatment(self) -> str:
        return "robust scale" if self.unit.tail is None else "robust scale, log tails"

    @property
    def expected(self) -> str:
        return "a finite number"

    def to_line(self, array: Any, noise: Array) -> tuple[Array, Array, Array]:
        x = numbers_of(array)
        return x, np.zeros(len(x)), np.isfinite(x)

    def from_line(self, points: Array, arrow: Any) -> Any:
        return from_numbers(points, arrow)


class Bounded(Continuous):
    """A real number in an open interval: log if it has one bound, logit if it has two."""

    kind: Literal["bounded"] = "bounded"
    interval: Interval

    @property
    def noisy(self) -> bool:
        return False

    @property
    def label(self) -> str:
        return "positive" if self.interval.low == 0 and self.interval.high is None else "bounded"

    @property
    def treatment(self) -> str:
        return self.interval.map_name

    @property
    def expected(self) -> str:
        return f"a number {self.interval}"

    def to_line(self, array: Any, noise: Array) -> tuple[Array, Array, Array]:
        x = numbers_of(array)
        possible = self.interval.contains(x)
        points = np.zeros(len(x))
        log_slopes = np.zeros(len(x))
        points[possible], log_slopes[possible] = self.interval.encode(x[possible])
        return points, log_slopes, possible & np.isfinite(points)

    def from_line(self, points: Array, arrow: Any) -> Any:
        return from_numbers(self.interval.inside(self.interval.decode(points), _float(arrow)), arrow)

    def nearest(self, array: Any) -> Any:
        """Numbers well inside the bound that cells are on, or close to: none is the nearest to a bound."""
        x, low, high = numbers_of(array), self.interval.low, self.interval.high
        least, middle, most = self.numbers_at(-_USUAL, 0.0, _USUAL)
        near = tolerance(low, high, middle)
        result = np.full(len(x), np.nan)
        if low is not None:
            result[np.abs(x - low) <= near] = least
        if high is not None:
            result[np.abs(x - high) <= near] = most
        return pyarrow.array(result, from_pandas=True)


class Grid(Continuous):
    """Values ``offset + k * step``, such as integers, made continuous by uniform noise of half a step to each side.

    interval: bounds half a step from a value, with a map to the real line. skipped: numbers k in the interval, in
    ascending order, of values with a mass of their own; the others close up, so that the line has no cell without
    probability. least: the smallest possible value, to which decoded values are raised. digits: decimal places to which
    values were rounded after they were scaled. known: such values of the training table, which are given back exactly.
    frequencies: a change of scale within the interval, where some values are far commoner than their neighbours.
    """

    kind: Literal["integer"] = "integer"
    step: Step = 1.0
    offset: Finite = 0.0
    digits: Annotated[int, Field(ge=0, le=20)] | None = None
    known: Annotated[tuple[Finite, ...], Field(max_length=MAX_KNOWN)] = ()
    least: Finite | None = None
    interval: Interval = Interval()
    skipped: Annotated[tuple[int, ...], Field(max_length=MAX_ATOMS)] = ()
    frequencies: FrequencyScale | None = None

    @property
    def noisy(self) -> bool:
        return True

    @property
    def label(self) -> str:
        return "integer" if self.step == 1 else "rounded"

    @property
    def treatment(self) -> str:
        frequent = "" if self.frequencies is None else " by frequency"
        return f"dequantised{frequent}" + ("" if self.interval.open else f", {self.interval.map_name}")

    @property
    def expected(self) -> str:
        multiple = (
            f"a multiple of {self.step:g}" if self.offset == 0 else f"{self.offset:g} plus a multiple of {self.step:g}"
        )
        base = "a whole number" if self.step == 1 else multiple
        low, high = self._ends
        low = self.least if low is None else low
        ends = ("" if low is None else f" from {low:g}") + ("" if high is None else f" up to {high:g}")
        return base + ends

    @property
    def _ends(self) -> tuple[float | None, float | None]:
        """The least and the largest value of the interval, None where it has no bound."""
        low, high = self.interval.low, self.interval.high
        # + 0.0: no negative zero
        least = None if low is None else float(self._numbers(np.ceil(self._cells(low + self.step * 1e-6)))) + 0.0
        most = None if high is None else float(self._numbers(np.floor(self._cells(high - self.step * 1e-6)))) + 0.0
        return least, most

    @field_validator("known", "skipped")
    @classmethod
    def _ascending(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if any(first >= second for first, second in pairwise(values)):
            raise OptionError("values in ascending order expected")
        return values

    @property
    def _coarse(self) -> bool:
        """Whether the grid is other than decimals of a few digits."""
        return self.step >= 1 or self.offset != 0 or abs(1 / self.step - np.rint(1 / self.step)) > 1e-6

    @property
    def _rounding(self) -> float:
        """The distance from the grid, in steps, that is taken for rounding."""
        return 1e-6 if self.offset == 0 else 0.05

    def numbers_among(self, values: Array) -> tuple[int, ...]:
        """The numbers k of those of some values that are on the grid and inside the interval."""
        possible = self.to_line(pyarrow.array(values), np.full(len(values), 0.5))[2]
        return tuple(np.unique(np.rint(self._cells(values[possible]))).astype(np.int64).tolist())

    def cells(self, x: Array) -> Array:
        """The numbers of the cells of values of the grid, whole."""
        return np.asarray(np.rint(self._cells(x)))

    def squeezed(self, x: Array) -> Array:
        """Values of the grid moved down by the cells that are skipped below them."""
        return np.asarray(x - self.step * np.searchsorted(self.skipped, np.rint(self._cells(x))))

    def _cells(self, x: Any) -> Any:
        return (x - self.offset) / self.step if self._coarse else x * np.rint(1 / self.step)

    def _numbers(self, cells: Any) -> Any:
        # A division by ten gives the number that "0.1" reads as, a multiplication by 0.1 does not.
        if not self._coarse:
            return cells / np.rint(1 / self.step)
        x = self.offset + cells * self.step
        x = x if self.digits is None else np.round(x, self.digits)
        if not self.known:
            return x
        known = np.asarray(self.known)
        near = known[np.minimum(np.searchsorted(known, x - self.step / 2), len(known) - 1)]
        return np.where(np.abs(near - x) <= self.step * self._rounding, near, x)

    def to_line(self, array: Any, noise: Array) -> tuple[Array, Array, Array]:
        x = numbers_of(array)
        cells = self._cells(x)
        with np.errstate(invalid="ignore"):
            off = np.abs(cells - np.rint(cells))
        possible = np.isfinite(x) & (off <= np.maximum(self._rounding, np.abs(cells) * 1e-7)) & (off < 0.1)
        possible &= self.interval.contains(x)
        if self.least is not None:
            possible &= x >= self.least - self.step / 2
        centres = np.where(possible, np.rint(cells), 0)
        moved = self._moved(centres + noise - 0.5)
        points, log_slopes = np.zeros(len(x)), np.zeros(len(x))
        possible &= ~np.isin(centres, self.skipped)
        safe = self.closed_up.inside(moved - self.step * np.searchsorted(self.skipped, centres), np.float64)
        points[possible], log_slopes[possible] = self.scaled(safe[possible])
        return points, log_slopes, possible

    @property
    def cell_width(self) -> float:
        return self.step

    def edges(self, array: Any) -> tuple[Array, Array]:
        low, high = super().edges(array)
        x, cells, slack = numbers_of(array), self.cells(numbers_of(array)), _AT_END * self.step
        starts = self._moved(cells - 0.5) - self.step * np.searchsorted(self.skipped, cells)
        (first, last), inside = self._ends, self.closed_up
        least = max(end for end in (first, self.least, -np.inf) if end is not None)
        at_low = (x <= least + slack) | (starts <= (-np.inf if inside.low is None else inside.low) + slack)
        at_high = starts + self.step >= (np.inf if inside.high is None else inside.high) - slack
        at_high |= x >= (np.inf if last is None else last) - slack
        return np.where(at_low, -np.inf, low), np.where(at_high, np.inf, high)

    def numbers_between(self, low: float, high: float) -> Array | None:
        first, last = self.cells(self.numbers_at(low, high))
        if not last - first < _FEW_CELLS:
            return None
        cells = np.arange(first, last + 1)
        return np.asarray(self._numbers(cells[~np.isin(cells, self.skipped)])) + 0.0

    def scaled(self, x: Array) -> tuple[Array, Array]:
        """Points on the real line and log-slopes of dequantised values, without the cells that are skipped."""
        if self.frequencies is None:
            return self.closed_up.encode(x)
        places, frequency_slopes = self.frequencies.encode(self._cells(x))
        points, log_slopes = self.closed_up.encode(self.closed_up.inside(self._moved(places), np.float64))
        return points, log_slopes + frequency_slopes

    def nearest(self, array: Any) -> Any:
        """The nearest values of the grid, and its first or last one for numbers a little beyond it."""
        x = numbers_of(array)
        low, high = self._ends
        low = self.least if low is None else low
        x = np.where(np.isfinite(x), x, np.nan)
        values = self._numbers(np.rint(self._cells(x)))
        values = values.clip(-np.inf if low is None else low, np.inf if high is None else high)
        near = max(self.step * (0.5 + self._rounding), tolerance(low, high, self.numbers_at(0.0)[0]))
        return pyarrow.array(np.where(np.abs(values - x) <= near, values, np.nan), from_pandas=True)

    def _moved(self, cells: Array) -> Array:
        """The inverse of `_cells`."""
        return np.asarray(self.offset * self._coarse + cells * self.step)

    @property
    def closed_up(self) -> Interval:
        """The interval without the cells that are skipped."""
        if self.interval.high is None or not self.skipped:
            return self.interval
        return self.interval.model_copy(update={"high": self.interval.high - self.step * len(self.skipped)})

    def from_line(self, points: Array, arrow: Any) -> Any:
        cells = self._cells(self.closed_up.inside(self.closed_up.decode(points), np.float64))
        cells = np.rint(cells if self.frequencies is None else self.frequencies.decode(cells))
        ranks = np.asarray(self.skipped) - np.arange(len(self.skipped))
        cells = cells + np.searchsorted(ranks, cells, side="right")
        x = self._numbers(np.clip(cells, -MOST_CELLS, MOST_CELLS))
        for bound, nearer in zip((*self._ends, self.least), (np.maximum, np.minimum, np.maximum), strict=True):
            x = x if bound is None else nearer(x, bound)
        return from_numbers(x + 0.0, arrow)  # + 0.0: no negative zero


class Periodic(Continuous):
    """A number on a circle from ``low`` to ``high``, cut open at its emptiest place.

    Across the cut the density is equal on both sides only as far as both are near zero. step: the width of the cells
    of integers, which are dequantised. interval: of the distances from the cut, one period long, with a map to the real
    line, so that no probability lies beyond the circle.
    """

    kind: Literal["periodic"] = "periodic"
    low: Finite
    high: Finite
    cut: Finite
    step: Step | None = None
    interval: Interval = Interval()

    @model_validator(mode="after")
    def _ordered(self) -> Periodic:
        if not self.low < self.high:
            raise OptionError(f"ends of a period in ascending order expected, got {self.low:g} and {self.high:g}")
        return self

    @property
    def noisy(self) -> bool:
        return self.step is not None

    @property
    def label(self) -> str:
        return "periodic"

    @property
    def circle(self) -> Circle:
        return Circle(self.low, self.high - self.low, self.cut, self.unit, self.step, self.interval)

    @property
    def cell_width(self) -> float:
        return self.step or 1.0

    def edges(self, array: Any) -> tuple[Array, Array]:
        period, half = self.high - self.low, self.cell_width / 2
        slack = _AT_END * half
        middles = np.mod(numbers_of(array) - self.cut, period)
        points = (self.interval.inside(middles + side, np.float64) for side in (-half, half))
        low, high = (self.unit.encode(self.interval.encode(each)[0])[0] for each in points)
        if self.interval.open:
            return low, high
        return np.where(middles - half <= slack, -np.inf, low), np.where(middles + half >= period - slack, np.inf, high)

    @property
    def treatment(self) -> str:
        return f"circle cut open at {self.cut:.4g}" + ("" if self.interval.open else f", {self.interval.map_name}")

    @property
    def expected(self) -> str:
        return "a finite number"

    def to_line(self, array: Any, noise: Array) -> tuple[Array, Array, Array]:
        x = numbers_of(array)
        possible = np.isfinite(x)
        x = np.where(possible, x, self.low)
        if self.step is not None:
            x = x + self.step * (noise - 0.5)
        distances = self.interval.inside(np.mod(x - self.cut, self.high - self.low), np.float64)
        return *self.interval.encode(distances), possible

    def from_line(self, points: Array, arrow: Any) -> Any:
        x = self.interval.decode(points) + self.cut
        if self.step is not None:
            x = np.rint(x / self.step) * self.step
        period = self.high - self.low
        x = self.low + np.mod(x - self.low, period)
        # Rounding may give the period itself, which is the place of zero.
        dtype = _float(arrow)
        with np.errstate(over="ignore"):
            x = np.where(x.astype(dtype) >= self.high, self.low, x)
        return from_numbers(x, arrow)
