"""Rows of equal weight, drawn from weighted ones."""

from __future__ import annotations

import numpy as np

from pushforward.array_types import Array

# The variance of a mean of resampled rows exceeds that of as many independent rows by at most this fraction.
_EXCESS = 0.1


def systematic(weights: Array, count: int, rng: np.random.Generator) -> Array:
    """The numbers of ``count`` rows, drawn in proportion to ``weights: (N,)``, in ascending order.

    Systematic resampling: each row is drawn as often as expected, rounded up or down. N rows of equal weight are all
    drawn once.
    """
    order = rng.permutation(len(weights))
    ends = np.cumsum(weights[order], dtype=np.float64)
    points = (np.arange(count) + rng.uniform(0.001, 0.999)) * (ends[-1] / max(1, count))
    return np.sort(order[np.minimum(np.searchsorted(ends, points, side="right"), len(weights) - 1)])


def count_of_independent(weights: Array) -> int:
    """The number of rows that systematic resampling may draw from weighted ones, so that tests keep their level.

    As long as no row is drawn twice, the rows are independent draws from the weighted distribution. A row that is
    expected p times, between k and k + 1, adds 2 k p - k (k + 1) to the variance of a sum over the rows.
    """
    fractions = weights / weights.sum()
    counts = np.geomspace(1 / fractions.max(), 1 / (fractions**2).sum(), 50)
    expected = counts[:, None] * fractions
    times = np.floor(expected)
    excess = (2 * times * expected - times * (times + 1)).sum(1) / counts
    # The first has no excess but for rounding.
    return max(1, int(counts[np.flatnonzero(excess <= _EXCESS)].max(initial=counts[0]) + 1e-6))
