"""Predictive distributions of one number: masses of single values and a mixture of Gaussians in encoded units."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow
import torch

from pushforward.array_types import Array
from pushforward.estimators.cell_moments import CellMoments, Function
from pushforward.estimators.columns.arrow_types import to_numbers
from pushforward.estimators.columns.column import ModelledColumn
from pushforward.estimators.models.column_distribution import ColumnDistribution

# Nodes of the Gauss-Hermite rule for moments, steps of bisection, quantiles for energies.
_NODES, _BISECTIONS, _LEVELS = 16, 60, 128
# Levels in the middle of intervals of equal probability.
_SPREAD = (np.arange(_LEVELS) + 0.5) / _LEVELS
# The difference of two probabilities that is taken for rounding.
_ROUNDING = 1e-12
# Encoded units beyond the training rows at which moments stop looking, the most first.
_MARGINS = 0.5 ** np.arange(60)


class PredictedNumbers:
    """N distributions of a number, in the units of its column.

    column: its plan. encoded: the distributions of its states and value. low, high: encoded values outside which
    moments do not look, so that a component of little weight and great width does not decide a mean.
    """

    def __init__(self, column: ModelledColumn, encoded: ColumnDistribution, low: float, high: float) -> None:
        self.column, self.encoded, self.low, self.high = column, encoded, low, high

    def __len__(self) -> int:
        return len(self.encoded.log_states)

    def take(self, rows: Array) -> PredictedNumbers:
        """The distributions numbered ``rows``, in that order."""
        return PredictedNumbers(self.column, self.encoded.take(torch.from_numpy(rows)), self.low, self.high)

    def mean(self) -> Array:
        """``(N,)``."""
        return self._moment(lambda x: x, np.zeros(len(self)))

    def var(self) -> Array:
        """``(N,)``: variances."""
        return self._moment(np.square, self.mean())

    def log_pdf(self, y: Array) -> Array:
        """``(N,)``: log-densities of ``y: (N,)``; log-probabilities of values with a mass."""
        array = _as_column(y)
        cells = self.column.encode(array, np.full(len(y), 0.5))
        states = torch.from_numpy(cells.states.astype(np.int64))
        log = self.encoded.log_states.gather(1, states.clamp(min=0)[:, None])[:, 0]
        values, log_slopes = torch.from_numpy(cells.values), torch.from_numpy(cells.log_slopes)
        if self.column.kind.noisy:
            log = log + torch.where(states == 0, self._log_density_of_cells(array, values, log_slopes), 0.0)
        elif self.encoded.value is not None:
            log = log + torch.where(states == 0, self.encoded.value.log_density(values) + log_slopes, 0.0)
        return np.asarray(log.masked_fill(~torch.from_numpy(cells.possible), -torch.inf).numpy())

    def _log_density_of_cells(self, array: Any, values: torch.Tensor, log_slopes: torch.Tensor) -> torch.Tensor:
        """``(N,)``: the logs of the probabilities of the cells of dequantised numbers, for each unit of width."""
        assert self.encoded.value is not None
        low, high = (torch.from_numpy(end) for end in self.column.edges(array))
        log_width = float(np.log(self.column.kind.cell_width))
        return self.encoded.value.log_density_of_cells(low, high, values, log_slopes, log_width)

    def pdf(self, y: Array) -> Array:
        """``(N,)``: densities of ``y: (N,)``."""
        return np.asarray(np.exp(self.log_pdf(y)))

    def cdf(self, y: Array) -> Array:
        """``(N,)``: probabilities of at most ``y: (N,)``."""
        points, masses = self._masses()
        total = (masses * (points <= y[:, None])).sum(1)
        if self.encoded.value is None:
            return np.asarray(total)
        return np.asarray(total + self._valued() * self._value_below(y)).clip(0.0, 1.0)

    def ppf(self, levels: Array) -> Array:
        """``(N, L)``: quantiles at ``levels: (L,)``, or at those of each row, ``(N, L)``."""
        levels = np.broadcast_to(levels, (len(self), np.shape(levels)[-1])).astype(np.float64)
        points, masses = self._masses()
        if self.encoded.value is None:
            totals = zip(masses.cumsum(1), levels, strict=True)
            places = [np.searchsorted(upto, asked * upto[-1] * (1 - _ROUNDING)) for upto, asked in totals]
            return np.asarray(points[np.stack(places)]) if places else np.empty(levels.shape)
        result = np.full(levels.shape, np.nan)
        before = np.zeros(levels.shape)
        for place, point in enumerate(points):
            upto = self.cdf(np.full(len(self), point))[:, None]
            under = upto - masses[:, place, None]
            here = (levels <= upto) & ((levels > under) | ((levels == 0) & (under <= _ROUNDING)))
            result[here] = point
            before += np.where(levels > upto, masses[:, place, None], 0.0)
        rest = torch.from_numpy(((levels - before) / np.maximum(self._valued()[:, None], 1e-300)).clip(0.0, 1.0))
        for at in range(levels.shape[1]):
            values = self.encoded.value.quantile(rest[:, at].log(), (1 - rest[:, at]).log())
            result[:, at] = np.where(np.isnan(result[:, at]), self._decode(values.numpy()), result[:, at])
        return result

    def sample(self, n: int, generator: torch.Generator) -> Array:
        """``(N, n)`` draws."""
        states = torch.multinomial(self.encoded.log_states.exp(), n, replacement=True, generator=generator)
        values = torch.zeros(states.shape, dtype=torch.float64)
        if self.encoded.value is not None:
            values = torch.stack([self.encoded.value.sample(generator) for _ in range(n)], 1)
        return self._decode(values.numpy().ravel(), states.numpy().ravel()).reshape(states.shape)

    def energy(self, y: Array | None = None) -> Array:
        """``(N,)``: the expected distance of two draws, or of a draw and ``y: (N,)``."""
        quantiles = self.ppf(_SPREAD)
        if y is not None:
            return np.asarray(np.abs(quantiles - y[:, None]).mean(1))
        return np.asarray(2 * (quantiles * (2 * _SPREAD - 1)).mean(1))

    def crps(self, y: Array) -> Array:
        """``(N,)``: continuous ranked probability scores of ``y: (N,)`` (Gneiting & Raftery, 2007)."""
        quantiles = self.ppf(_SPREAD)
        return np.asarray((np.abs(quantiles - y[:, None]) - quantiles * (2 * _SPREAD - 1)).mean(1))

    def _moment(self, function: Function, around: Array) -> Array:
        """``(N,)``: the means of a function of the distances from ``around: (N,)``."""
        points, masses = self._masses()
        total = (masses * function(points - around[:, None])).sum(1)
        if self.encoded.value is None:
            return np.asarray(total)
        cells = CellMoments.of(self.column, self.low, self.high)
        if cells is not None:
            return np.asarray(total + self._valued() * cells.mean(self.encoded.value, function, around))
        nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
        log_weights, means, log_scales = (part.numpy() for part in self.encoded.value)
        for z, weight in zip(nodes, weights / weights.sum(), strict=True):
            x = self._decode((means + np.exp(log_scales) * z).clip(self.low, self.high).ravel()).reshape(means.shape)
            total = total + self._valued() * weight * (np.exp(log_weights) * function(x - around[:, None])).sum(1)
        return np.asarray(total)

    def _valued(self) -> Array:
        """``(N,)``: the probability of state 0, which carries a value."""
        return np.asarray(self.encoded.log_states[:, 0].exp().numpy())

    def _masses(self) -> tuple[Array, Array]:
        """Values with a mass, in ascending order, and their probabilities ``(N, M)``."""
        first = 1 if self.column.kind.valued else 0
        last = self.encoded.log_states.shape[1] - self.column.gaps
        points = self._decode(np.zeros(last - first), np.arange(first, last))
        order = np.argsort(points)
        return points[order], self.encoded.log_states[:, first:last].exp().numpy()[:, order]

    def _decode(self, values: Array, states: Array | None = None) -> Array:
        states = np.zeros(len(values), dtype=np.int64) if states is None else states
        return to_numbers(self.column.decode(states, values))

    def _value_below(self, y: Array) -> Array:
        """``(N,)``: the probability that a value of state 0 is at most ``y``."""
        assert self.encoded.value is not None
        return np.asarray(self.encoded.value.log_tails(torch.from_numpy(self._highest(y)))[0].exp().numpy())

    def _highest(self, y: Array) -> Array:
        """``(N,)``: the highest encoded value whose number is at most ``y``, by bisection."""
        assert self.encoded.value is not None
        reach = 40 * self.encoded.value.log_scales.exp()
        low = float((self.encoded.value.means - reach).min()) if len(y) else 0.0
        high = float((self.encoded.value.means + reach).max()) if len(y) else 0.0
        lows, highs = np.full(len(y), low), np.full(len(y), high)
        for _ in range(_BISECTIONS):
            middle = lows + (highs - lows) / 2
            inside = self._decode(middle) <= y
            lows, highs = np.where(inside, middle, lows), np.where(inside, highs, middle)
        return lows


def _as_column(y: Array) -> Any:
    return pyarrow.array(np.asarray(y, dtype=np.float64))


def moment_ends(column: ModelledColumn, values: torch.Tensor) -> tuple[float, float]:
    """The ends of the encoded values that moments look at, given those of the training rows.

    They are at most as far beyond the numbers of the training rows as these span: in a heavy tail, whose encoded units
    grow, the moments would be those of the end.
    """
    low, high = float(values.min()), float(values.max())
    if not column.kind.valued:
        return low, high
    points = np.concatenate([[low, high], low - _MARGINS, high + _MARGINS])
    numbers = to_numbers(column.decode(np.zeros(len(points), dtype=np.int64), points))
    (least, most), (below, above) = numbers[:2], np.split(numbers[2:], 2)
    span = most - least
    return low - _first(below >= least - span), high + _first(above <= most + span)


def _first(possible: Array) -> float:
    """The largest margin that is possible."""
    return float(_MARGINS[possible][0]) if possible.any() else 0.0
