"""One column of two tables as charts and measures take it: numbers on an axis, and states with a label each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from pushforward.array_types import Array

Axis = Literal["number", "date", "hour"]
# The most bins of numbers, and the least mean number of rows in a cell of two columns in bins.
_BINS, _IN_CELL = 8, 5
# The least fraction of rows with which a code is told from others.
_COMMON = 0.02


@dataclass(frozen=True, eq=False)
class ColumnView:
    """A column of two tables of N and M rows.

    states: ``(N,)`` and ``(M,)`` int, -1 where unknown. labels: of the states. numbers: ``(N,)`` and ``(M,)``, NaN
    where a row has none; None for a column of labels alone, else state 0 has the numbers. axis: dates are days since
    1970.
    """

    name: str
    states: tuple[Array, Array]
    labels: tuple[str, ...]
    numbers: tuple[Array, Array] | None = None
    axis: Axis = "number"

    @property
    def fractions(self) -> Array:
        """``(2, S)``: the fraction of each table in each state."""
        counts = [np.bincount(s[s >= 0], minlength=len(self.labels)) for s in self.states]
        return np.stack([count / max(1, count.sum()) for count in counts])

    def codes(self, table: int) -> Array:
        """``(N,)``: whole numbers for content that is alike, the numbers in bins of equal mass of the first table.

        A small first table has few bins, and content that is rare there has one code.
        """
        codes = self._fine(0)
        common, counts = np.unique(codes, return_counts=True)
        common = common[counts >= max(_IN_CELL, _COMMON * len(codes))]
        codes = codes if table == 0 else self._fine(table)
        return np.where(np.isin(codes, common), codes, 0)

    def _fine(self, table: int) -> Array:
        """The codes with a code of its own for each state; 0 is unknown content."""
        states = self.states[table] + 1
        if self.numbers is None:
            return states
        reference = finite(self.numbers[0])
        bins = int(np.clip(np.sqrt(len(reference) / _IN_CELL), 2, _BINS))
        edges = np.unique(np.quantile(reference, np.arange(1, bins) / bins)) if len(reference) else np.empty(0)
        places = np.searchsorted(edges, np.nan_to_num(self.numbers[table]), side="right")
        return np.where(np.isfinite(self.numbers[table]), len(self.labels) + 1 + places, states)


def finite(values: Array) -> Array:
    """The finite numbers among values ``(N,)``."""
    return values[np.isfinite(values)]
