"""A change of scale by the frequencies of the values of a grid, where some are far commoner than their neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import numpy as np
from pydantic import Field, model_validator

from pushforward.array_types import Array
from pushforward.errors import OptionError
from pushforward.estimators.columns.standard import Distinct, Finite, Strict

_MOST_ENDS = 20_000
_Cell = Annotated[int, Field(ge=-(2**53), le=2**53)]
# Rows enough to tell frequent values, and the gain in nats a row, on rows apart, above which the scale is changed.
_ENOUGH, _GAIN = 200, 0.05
# Of the rows of each value, so many count for the values around it, which other rows will have.
_DISCOUNT = 0.75
# The pieces on each side that make the density around a piece, and those that tell a smooth change from peaks.
_WIDE, _NARROW = 10, 2


class FrequencyScale(Strict):
    """A piecewise-linear change of scale that makes common values wide and rare ones narrow.

    Cell k reaches from k - 1/2 to k + 1/2. On the changed scale its width is its frequency relative to the density
    around it, so that a smooth density there is one with peaks at the common values. starts: numbers of the cells at
    which pieces start, and the cell after the last piece. places: of those starts on the changed scale. Beyond the
    first and the last one, nothing changes.

    >>> import numpy as np
    >>> scale = FrequencyScale(starts=(0, 1, 3), places=(-0.5, 1.5, 2.5))
    >>> places, log_slopes = scale.encode(np.array([0.0, 2.0, 7.0]))
    >>> places.tolist(), np.exp(log_slopes).tolist(), scale.decode(places).tolist()
    ([0.5, 2.25, 7.0], [2.0, 0.5, 1.0], [0.0, 2.0, 7.0])
    """

    starts: Annotated[tuple[_Cell, ...], Field(min_length=2, max_length=_MOST_ENDS)]
    places: Annotated[tuple[Finite, ...], Field(min_length=2, max_length=_MOST_ENDS)]

    @model_validator(mode="after")
    def _ascending(self) -> FrequencyScale:
        for values in (self.starts, self.places):
            if any(first >= second for first, second in pairwise(values)):
                raise OptionError("starts and places in ascending order expected")
        same_ends = all(self.places[end] == self.starts[end] - 0.5 for end in (0, -1))
        if len(self.starts) != len(self.places) or not same_ends:
            raise OptionError("as many places as starts, with equal ends, expected")
        return self

    def encode(self, cells: Array) -> tuple[Array, Array]:
        """Places of ``cells: (N,)`` on the changed scale, and the logs of the slopes there."""
        return _along(cells, np.asarray(self.starts) - 0.5, np.asarray(self.places))

    def decode(self, places: Array) -> Array:
        """The inverse of `encode`."""
        return _along(places, np.asarray(self.places), np.asarray(self.starts) - 0.5)[0]


def _along(x: Array, source: Array, target: Array) -> tuple[Array, Array]:
    """Values and log-slopes at ``x`` of the piecewise-linear function through the points (source, target)."""
    inside = (x >= source[0]) & (x < source[-1])
    piece = np.clip(np.searchsorted(source, x, side="right") - 1, 0, len(source) - 2)
    slopes = np.diff(target) / np.diff(source)
    y = target[piece] + slopes[piece] * (x - source[piece])
    # Rounding leads no value into the next piece.
    y = np.clip(y, target[piece], np.nextafter(target[piece + 1], target[piece]))
    return np.where(inside, y, x), np.where(inside, np.log(slopes[piece]), 0.0)


def find_frequency_scale(cells: Distinct, seed: int = 0) -> FrequencyScale | None:
    """The change of scale by the frequencies of cells, if neighbours differ so much that rows apart gain; else None.

    cells: their numbers, which are whole, and the rows with each.
    """
    if cells.rows < _ENOUGH or len(cells) < 3 or 2 * len(cells) + 1 > _MOST_ENDS:
        return None
    half = np.random.default_rng(seed).binomial(cells.counts.astype(np.int64), 0.5)
    ends = (int(cells.values[0]), int(cells.values[-1]) + 1)
    tried = _Pieces.of(Distinct(cells.values, half), ends)
    if tried is None or not half.any() or tried.gain(Distinct(cells.values, cells.counts - half)) < _GAIN:
        return None
    pieces = _Pieces.of(cells, ends)
    return None if pieces is None else pieces.scale()


@dataclass(frozen=True)
class _Pieces:
    """Cells of common values, and the stretches between them. starts: of the pieces, and the end of the last one.

    masses: the rows of each piece that are expected of as many rows. even: those that the density around it gives.
    """

    starts: Array
    masses: Array
    even: Array

    @classmethod
    def of(cls, rows: Distinct, ends: tuple[int, int]) -> _Pieces | None:
        """The pieces from the first of the two ends to the other; None if no value is common."""
        common, single = rows.where(rows.counts > 1), rows.where(rows.counts == 1)
        if not len(common):
            return None
        cell = common.values.astype(np.int64)
        starts = np.unique(np.concatenate([ends, cell, cell + 1]))
        lengths = np.diff(starts).astype(np.float64)
        own, between = (np.searchsorted(starts, part.values, side="right") - 1 for part in (common, single))
        masses = np.bincount(between, minlength=len(lengths)).astype(np.float64)
        masses[own] += common.counts
        even = lengths * _around(masses, _WIDE) / _around(lengths, _WIDE)
        # The discounted rows go to all cells, in proportion to the density around them.
        masses[own] -= _DISCOUNT
        return cls(starts, masses + (_DISCOUNT * len(common) / even.sum()) * even, even)

    def gain(self, others: Distinct) -> float:
        """Nats that other rows gain, on average, beyond those that a smooth change of scale would gain."""
        smooth = _around(self.masses, _NARROW) / _around(self.even, _NARROW)
        piece = np.searchsorted(self.starts, others.values, side="right") - 1
        return float(np.average(np.log(self.masses / self.even / smooth)[piece], weights=others.counts))

    def scale(self) -> FrequencyScale:
        """The change of scale, as long as the pieces together."""
        widths = np.diff(self.starts) * self.masses / self.even
        length = float(self.starts[-1] - self.starts[0])
        places = np.round(self.starts[0] - 0.5 + np.append(0.0, np.cumsum(widths) * (length / widths.sum())), 9)
        places[-1] = self.starts[-1] - 0.5
        return FrequencyScale(starts=tuple(self.starts.tolist()), places=tuple(places.tolist()))


def _around(numbers: Array, reach: int) -> Array:
    """The sum of each number and of those around it, with weights that fall to 0 beyond ``reach``."""
    weights = 1 - np.abs(np.arange(-reach, reach + 1)) / (reach + 1)
    return np.asarray(np.convolve(numbers, weights, mode="full")[reach : reach + len(numbers)])
