"""Predictive distributions of a number on a circle."""

from __future__ import annotations

import numpy as np
import torch

from pushforward.array_types import Array
from pushforward.estimators.columns.circle import Circle
from pushforward.estimators.columns.column import ModelledColumn
from pushforward.estimators.models.column_distribution import ColumnDistribution
from pushforward.estimators.predictions import PredictedNumbers

# Turns of the circle to each side on which there may be probability, and steps of bisection.
_TURNS, _BISECTIONS = 4, 45


class PredictedAngles(PredictedNumbers):
    """N distributions of a number on a circle, which starts at its low end for `cdf`, `ppf` and `energy`.

    `mean` is the circular mean, `var` the mean squared distance to it the shorter way round.
    """

    def __init__(
        self, column: ModelledColumn, encoded: ColumnDistribution, low: float, high: float, circle: Circle
    ) -> None:
        super().__init__(column, encoded, low, high)
        self.circle = circle

    def take(self, rows: Array) -> PredictedAngles:
        """The distributions numbered ``rows``, in that order."""
        return PredictedAngles(self.column, self.encoded.take(torch.from_numpy(rows)), self.low, self.high, self.circle)

    def mean(self) -> Array:
        """``(N,)``: circular means."""
        radians = 2 * np.pi / self.circle.period
        around = np.full(len(self), self.circle.low)
        cosine = self._moment(lambda x: np.cos(radians * x), around)
        sine = self._moment(lambda x: np.sin(radians * x), around)
        return np.asarray(self.circle.low + np.mod(np.arctan2(sine, cosine) / radians, self.circle.period))

    def var(self) -> Array:
        """``(N,)``: mean squared distances to the mean, the shorter way round."""
        half = self.circle.period / 2
        return self._moment(lambda x: (np.mod(x + half, 2 * half) - half) ** 2, self.mean())

    def ppf(self, levels: Array) -> Array:
        """``(N, L)``: quantiles at ``levels: (L,)``, or at those of each row, ``(N, L)``, counted from the low end."""
        asked = np.broadcast_to(levels, (len(self), np.shape(levels)[-1])) * (1 - 1e-12)
        first = self.circle.first
        lows, highs = np.full(asked.shape, first), np.full(asked.shape, first + self.circle.period)
        for _ in range(_BISECTIONS):
            middle = lows + (highs - lows) / 2
            enough = self._cdf_of(middle) >= asked
            lows, highs = np.where(enough, lows, middle), np.where(enough, middle, highs)
        return np.where(self._cdf_of(np.full(asked.shape, first)) >= asked, first, self.circle.nearest(highs))

    def _cdf_of(self, y: Array) -> Array:
        """``(N, L)``: probabilities of at most ``y: (N, L)``."""
        return np.stack([self.cdf(each) for each in y.T], 1) if y.shape[1] else y

    def _value_below(self, y: Array) -> Array:
        start, ends = self.circle.arc(y)
        starts, full = np.full(len(y), start), np.full(len(y), start + self.circle.period)
        before, upto, all_of_it = (self._under(each) for each in (starts, ends, full))
        return np.asarray((upto - before) / np.maximum(all_of_it - before, 1e-300))

    def _under(self, x: Array) -> Array:
        """``(N,)``: the probability of the points under ``x`` on each turn, summed over the turns."""
        assert self.encoded.value is not None
        total = np.zeros(len(x))
        for turn in range(-_TURNS, _TURNS + 1):
            values = torch.from_numpy(self.circle.encode(x, turn))
            total = total + self.encoded.value.log_tails(values)[0].exp().numpy()
        return total
