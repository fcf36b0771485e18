"""Moments of the numbers of a grid, from the distribution of the values that are rounded to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Self

import numpy as np
import pyarrow
from scipy.special import ndtr

from pushforward.array_types import Array
from pushforward.estimators.columns.column import ModelledColumn
from pushforward.estimators.models.mixture_head import MixtureHead

# Numbers up to which the probability of each is summed, pieces of a Gaussian in which more are grouped, and rows of
# which moments are computed together.
_FEW, _PIECES, _REACH, _ROWS = 100, 48, 7.0, 10_000
_NODES = np.linspace(-_REACH, _REACH, _PIECES + 1)

Function = Callable[[Array], Array]


class CellMoments(NamedTuple):
    """The numbers ``(M,)`` of a dequantised column, and the encoded ends ``(M - 1,)`` between their cells."""

    numbers: Array
    ends: Array

    @classmethod
    def of(cls, column: ModelledColumn, low: float, high: float) -> Self | None:
        """The numbers between two encoded values; those beyond count as the first or the last. None if too many."""
        numbers = column.kind.numbers_between(low, high)
        if numbers is None:
            return None
        return cls(numbers, column.edges(pyarrow.array(numbers))[1][:-1])

    def mean(self, values: MixtureHead, function: Function, around: Array) -> Array:
        """``(N,)``: the means of a function of the distances from ``around: (N,)`` of numbers with these values."""
        of_gaussian = self._of_each if len(self.numbers) <= _FEW else self._of_groups
        total = np.zeros(len(around))
        for start in range(0, len(around), _ROWS):
            part = slice(start, start + _ROWS)
            # Of each component in turn, (n, 1).
            log_weights, means, log_scales = (each.numpy()[part].T[:, :, None] for each in values)
            for log_weight, mean, log_scale in zip(log_weights, means, log_scales, strict=True):
                moment = of_gaussian(mean, np.exp(log_scale), function, around[part, None])
                total[part] += np.exp(log_weight[:, 0]) * moment
        return total

    def _of_each(self, mean: Array, scale: Array, function: Function, origin: Array) -> Array:
        masses = np.diff(ndtr((self.ends - mean) / scale), axis=1, prepend=0.0, append=1.0)
        return np.asarray((masses * function(self.numbers - origin)).sum(1))

    def _of_groups(self, mean: Array, scale: Array, function: Function, origin: Array) -> Array:
        """The mean over groups of numbers: exact masses times the mean of two numbers around the centre of each.

        The cells at the ends of the pieces are groups of their own, and so is any cell wider than a piece.
        """
        cells = np.searchsorted(self.ends, mean + scale * _NODES)
        starts = np.maximum.accumulate(np.stack([cells, cells + 1], 2).reshape(len(cells), -1), 1)
        first, last = starts[:, :-1], starts[:, 1:]
        z = (np.concatenate([[-np.inf], self.ends, [np.inf]])[starts] - mean) / scale
        z[:, 0], z[:, -1] = -np.inf, np.inf
        masses = np.where(last > first, np.diff(ndtr(z), axis=1), 0.0)
        centres, half, slopes, middles = self._groups(first, last)
        # A Gaussian is not even within a group: its centre there is off the middle.
        within = -np.diff(np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi), axis=1) / np.maximum(masses, 1e-300)
        tilts = mean + scale * within - middles
        centres = centres - origin + np.where(masses > 1e-12, slopes * tilts, 0.0)
        return np.asarray((masses * (function(centres - half) + function(centres + half)) / 2).sum(1))

    def _groups(self, first: Array, last: Array) -> tuple[Array, Array, Array, Array]:
        """Of numbers from ``first`` to before ``last``: the mean under an even density, and their standard deviation.

        The slope of the number by the encoded value, 0 for one number alone or at an end, and the middle in encoded
        units follow.
        """
        inner = np.diff(self.ends)
        widths = np.concatenate([inner[:1], inner, inner[-1:]])
        sums, lengths = (
            np.append(0.0, np.cumsum(part)) for part in (widths * (self.numbers - self.numbers[0]), widths)
        )
        length = np.where(last > first, lengths[last] - lengths[first], 1.0)
        centres = self.numbers[0] + (sums[last] - sums[first]) / length
        count = last - first
        span = self.numbers[np.maximum(last - 1, 0)] - self.numbers[np.minimum(first, len(self.numbers) - 1)]
        half = np.abs(span) * np.sqrt((count + 1) / (12 * np.maximum(count - 1, 1)))
        whole = (count > 1) & (first > 0) & (last < len(self.numbers))
        slopes = np.where(whole, span * count / np.maximum(count - 1, 1) / length, 0.0)
        edges = np.concatenate([self.ends[:1], self.ends, self.ends[-1:]])
        return centres, half, slopes, (edges[first] + edges[last]) / 2
