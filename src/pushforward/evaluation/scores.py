"""Log-likelihoods of rows with their kind, their mean and its standard error; latents of rows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pushforward.array_types import Array
from pushforward.flow import Flow
from pushforward.likelihood import Kind
from pushforward.noise import has_role
from pushforward.rows import Rows, row_latents, row_likelihoods

# The level of two standard errors above the mean of a normal distribution, and the number below which t matters.
_UPPER, _FEW = 0.97725, 10


@dataclass(frozen=True)
class Summary:
    """Mean of per-row values with its standard error; both None where they would be infinite or undefined."""

    mean: float | None
    standard_error: float | None
    rows: int

    def to_json(self) -> dict[str, float | int | None]:
        return {"mean": self.mean, "standard_error": self.standard_error, "rows": self.rows}


@dataclass(frozen=True)
class Scores:
    """Log-likelihoods ``nats: (N,)`` of rows with their kind.

    bound: whether they, or the values that they estimate, are lower bounds. dequantisation: the dequantisation of a
    bound. in_words: the kind as printed.
    """

    nats: Array
    kind: Kind
    bound: bool
    dequantisation: str | None
    in_words: str

    @property
    def zero_density(self) -> int:
        """Rows whose density is zero: their log-likelihood is minus infinity, and so is the mean over all rows."""
        return int(np.isneginf(self.nats).sum())

    @property
    def not_a_number(self) -> int:
        return int((~np.isfinite(self.nats)).sum()) - self.zero_density


class RunningSummary:
    """The `Summary` of values that come in blocks, weighted or not.

    The moments are added by the parallel formula (Chan, Golub & LeVeque, 1983).

    rows: the number of values so far; not_finite: how many of them are not finite.
    """

    def __init__(self) -> None:
        self.rows = self.not_finite = 0
        # Sums of the weights, and of their squares times the powers 0, 1 and 2 of the deviations from the mean.
        self._weight = self._mean = self._squared_weight = self._deviations = self._squares = 0.0

    def add(self, values: Array, weights: Array | None = None) -> None:
        """Add values ``(N,)``. weights: of each; those of weight 0 count as values only."""
        self.not_finite += int((~np.isfinite(values)).sum())
        self.rows += len(values)
        weights = np.ones(len(values)) if weights is None else weights
        weight = float(weights.sum())
        if self.not_finite or not weight > 0:
            return
        self._weight += weight
        shift = (float(np.average(values, weights=weights)) - self._mean) * weight / self._weight
        self._mean += shift
        self._squares += shift * (shift * self._squared_weight - 2 * self._deviations)
        self._deviations -= shift * self._squared_weight
        squared, deviations = weights**2, values - self._mean
        self._squared_weight += float(squared.sum())
        self._deviations += float((squared * deviations).sum())
        self._squares += float((squared * deviations**2).sum())

    def summary(self) -> Summary:
        """Mean and standard error of all values; None where they are not finite."""
        if not self._weight > 0 or self.not_finite:
            return Summary(None, None, self.rows)
        rows = self.rows
        error = math.sqrt(max(0.0, self._squares) * rows / (rows - 1)) / self._weight if rows > 1 else None
        return Summary(self._mean, error, self.rows)


def summarise(values: Array) -> Summary:
    """Mean and standard error of ``values: (N,)``; None where they are not finite."""
    rows = len(values)
    if rows == 0 or not np.isfinite(values).all():
        return Summary(None, None, rows)
    error = float(values.std(ddof=1)) / math.sqrt(rows) if rows > 1 else None
    return Summary(float(values.mean()), error, rows)


def standard_errors(count: int) -> float:
    """The number of standard errors to each side of a mean of ``count`` values, 2 or more, in a 95 % interval.

    Two for many values. Of few, the standard error is itself a rough estimate, and Student's t takes account of it: 14
    for two values, 2.3 for ten.
    """
    from scipy.stats import t  # scikit-learn brings scipy

    return float(t.ppf(_UPPER, count - 1))


def remark_on_few(count: int | None, values: str) -> str:
    """A remark on the standard error of a mean of few ``values`` ("rows", "draws"); empty for many, or fewer than 2."""
    if count is None or not 2 <= count < _FEW:
        return ""
    return f"the standard error of {count} {values} is rough: a 95 % interval is +- {standard_errors(count):.1f} of it"


def score(flow: Flow, rows: Rows, seed: int) -> Scores:
    """The log-likelihood of every row, with one draw of the noise keyed by ``seed`` and the index of the row."""
    likelihood = row_likelihoods(flow, rows, seed)
    drawn = has_role(flow.transform.noise_to_latent, "draw")
    bound = flow.kind == "bound" or (flow.kind == "estimate" and drawn)
    return Scores(likelihood.value.numpy(), flow.kind, bound, flow.dequantisation, flow.kind_in_words)


def latents(flow: Flow, rows: Rows, seed: int) -> Array:
    """The latents ``(N, *latent)`` of every row, float64, with the same noise as `score`."""
    return np.concatenate([z.cpu().double().numpy() for z in row_latents(flow, rows, seed)])
