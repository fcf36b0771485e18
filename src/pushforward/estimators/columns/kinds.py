"""The contract of the kinds of columns: cells of a column to states and values, and back."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import pyarrow

from pushforward.array_types import Array
from pushforward.errors import DataError
from pushforward.estimators.columns.arrow_types import is_number, is_text, to_numbers
from pushforward.estimators.columns.calendar import Calendar
from pushforward.estimators.columns.circle import Circle
from pushforward.estimators.columns.standard import Standard, Strict

# The fraction of the range of a column that is small.
_SMALL = 0.1

Axis = Literal["number", "date", "hour"]


@dataclass(frozen=True)
class Cells:
    """N encoded cells of one column: states, values, log-slopes, and whether each cell is possible, all ``(N,)``."""

    states: Array
    values: Array
    log_slopes: Array
    possible: Array

    @classmethod
    def blank(cls, count: int) -> Cells:
        """Possible cells in state 0 without a value."""
        zeros = np.zeros(count)
        return cls(np.zeros(count, dtype=np.int64), zeros, zeros.copy(), np.ones(count, dtype=bool))


class Kind(Strict):
    """How a modelled column is encoded, gaps and atoms aside. Abstract.

    Cells given to `encode` are never null.
    """

    @property
    @abstractmethod
    def states(self) -> int:
        """The number of states; 1 where state 0 carries a value."""

    @property
    @abstractmethod
    def valued(self) -> bool:
        """Whether state 0 carries a value."""

    @property
    @abstractmethod
    def noisy(self) -> bool:
        """Whether `encode` needs noise, because the values are dequantised."""

    @property
    def circle(self) -> Circle | None:
        """The circle on which the numbers lie; None for those on a line."""
        return None

    @property
    def calendar(self) -> Calendar | None:
        """The calendar of dates, which gives models their periodic features; None for other kinds."""
        return None

    @property
    def axis(self) -> Axis:
        """The axis of charts of the numbers."""
        return "number"

    def on_axis(self, array: Any) -> Array:
        """``(N,)`` float64: the cells of an Arrow array on that axis, NaN for null; dates as days since 1970."""
        return to_numbers(array)

    @property
    @abstractmethod
    def label(self) -> str:
        """The word for the kind in a summary."""

    @property
    def words(self) -> tuple[str, ...]:
        """The texts that cells can hold, where they are few; empty for other kinds."""
        return ()

    @property
    @abstractmethod
    def treatment(self) -> str:
        """What a model gets, in a few words."""

    @property
    @abstractmethod
    def expected(self) -> str:
        """Which cells are possible, as the end of a sentence: "a number above 0"."""

    @abstractmethod
    def encode(self, array: Any, noise: Array) -> Cells:
        """The cells of an Arrow array; ``noise: (N,)`` is uniform in [0, 1)."""

    def nearest(self, array: Any) -> Any:
        """The possible cells nearest to those of an Arrow array that are not possible; null where none is near."""
        return pyarrow.nulls(len(array), array.type)

    def far(self, values: Array) -> Array:
        """Which encoded values ``(N,)`` are far from those of all training rows."""
        return np.zeros(len(values), dtype=bool)

    @property
    def reach(self) -> tuple[float, float] | None:
        """The least and the largest encoded value of the training rows; None where there are none, or none is known."""
        return None

    def reaching(self, values: Array) -> Self:
        """The kind whose training rows have these encoded values too."""
        return self

    @abstractmethod
    def decode(self, states: Array, values: Array, arrow: Any) -> Any:
        """An Arrow array of type ``arrow`` from states and values ``(N,)``."""

    @property
    def cell_width(self) -> float:
        """The width of the cell of a dequantised number, in the units of the log-slopes."""
        return 1.0

    def edges(self, array: Any) -> tuple[Array, Array]:
        """The encoded ends ``(N,)`` of the cells of dequantised numbers; infinite for a cell at a bound."""
        low, high = (self.encode(array, np.full(len(array), end)).values for end in (0.0, 1.0))
        return low, high

    def numbers_between(self, low: float, high: float) -> Array | None:
        """The numbers, in encoded order, that the values from ``low`` to ``high`` are decoded to; None if not few."""
        return None


class Continuous(Kind):
    """A kind with a real value: a map of the numbers to the real line, then standard units. Abstract."""

    unit: Standard

    @property
    def states(self) -> int:
        return 1

    @property
    def valued(self) -> bool:
        return True

    @abstractmethod
    def to_line(self, array: Any, noise: Array) -> tuple[Array, Array, Array]:
        """Points on the real line, their log-slopes, and whether each cell is possible; ``(N,)`` each."""

    @abstractmethod
    def from_line(self, points: Array, arrow: Any) -> Any:
        """An Arrow array of type ``arrow`` from points on the real line."""

    def encode(self, array: Any, noise: Array) -> Cells:
        points, log_slopes, possible = self.to_line(array, noise)
        values, unit_slopes = self.unit.encode(np.where(possible, points, self.unit.location))
        possible = possible & np.isfinite(values)
        values = np.where(possible, values, 0.0)
        log_slopes = np.where(possible, log_slopes + unit_slopes, 0.0)
        return Cells(np.zeros(len(values), dtype=np.int64), values, log_slopes, possible)

    def far(self, values: Array) -> Array:
        return self.unit.far(values)

    @property
    def reach(self) -> tuple[float, float] | None:
        return self.unit.reach

    def reaching(self, values: Array) -> Self:
        return self.model_copy(update={"unit": self.unit.reaching(values)})

    def decode(self, states: Array, values: Array, arrow: Any) -> Any:
        return self.from_line(self.unit.decode(values), arrow)

    def numbers_at(self, *values: float) -> Array:
        """The numbers of encoded values."""
        return to_numbers(self.decode(np.zeros(len(values)), np.array(values), pyarrow.float64()))


def tolerance(low: float | None, high: float | None, middle: float) -> float:
    """The distance beyond the bounds of a column that is small beside its range; 0 without a bound.

    middle: of the column, whose distance from a bound is the range where there is only one.
    """
    if low is not None and high is not None:
        return _SMALL * (high - low)
    return max((_SMALL * abs(middle - bound) for bound in (low, high) if bound is not None), default=0.0)


def _first_refused(array: Any) -> str:
    """The first text of an array that is no number, by bisection."""
    first, last = 0, len(array)
    while last - first > 1:
        middle = (first + last) // 2
        try:
            array.slice(first, middle - first).cast(pyarrow.float64())
            first = middle
        except pyarrow.ArrowInvalid:
            last = middle
    return str(array[first])


def numbers_of(array: Any) -> Array:
    """The numbers in an array, or in text that holds numbers. Raises DataError for other text."""
    if is_text(array.type):
        try:
            array = array.cast(pyarrow.float64())
        except pyarrow.ArrowInvalid:
            raise DataError(f"{_first_refused(array)[:100]!r} where a number is expected") from None
    elif not (is_number(array.type) or pyarrow.types.is_boolean(array.type) or pyarrow.types.is_null(array.type)):
        raise DataError(f"values of type {array.type} where numbers are expected")
    return to_numbers(array)
