"""P-values of ranks of held-out values among samples, and of means."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pushforward.array_types import Array


def pit_among(values: Array, draws: Array, rng: np.random.Generator) -> Array:
    """Probability integral transforms ``(N,)`` of ``values`` among ``draws: (K,)``: ranks, ties broken at random.

    A missing value (NaN) ranks below every number, tied with the missing ones among the draws.
    """
    values, draws = (np.where(np.isnan(x), -np.inf, x) for x in (values, draws))
    ordered = np.sort(draws)
    below, up_to = np.searchsorted(ordered, values, "left"), np.searchsorted(ordered, values, "right")
    return np.asarray((below + rng.random(len(values)) * (up_to - below + 1)) / (len(draws) + 1))


def uniform_p_value(distance: float, rows: int, draws: int | None = None) -> float:
    """The p-value of a Kolmogorov-Smirnov ``distance`` of ``rows`` transforms, of ranks among common ``draws``."""
    from scipy.special import kolmogorov as survival

    count = rows if draws is None else rows * draws / (rows + draws)
    # Stephens (1970) corrects the limiting distribution for finite counts.
    return float(survival((math.sqrt(count) + 0.12 + 0.11 / math.sqrt(count)) * distance))


def positive_mean(mean: float, error: float, count: int) -> float:
    """The p-value of the hypothesis that a ``mean`` of ``count`` values with a standard ``error`` is not positive."""
    from scipy.stats import t

    if error == 0:
        return 0.0 if mean > 0 else 1.0
    return float(t.sf(mean / error, count - 1))


def band(rows: int, level: float, columns: int, draws: int | None = None) -> float:
    """The half-width of a band around the diagonal that holds the distribution functions of all columns at once.

    Of ``columns`` right ones, some leave it anywhere with a probability of at most ``level``. Without rows, it holds
    all functions.
    """
    from scipy.special import kolmogi

    if rows == 0:
        return 1.0
    count = rows if draws is None else rows * draws / (rows + draws)
    return float(kolmogi(level / columns) / (math.sqrt(count) + 0.12 + 0.11 / math.sqrt(count)))


@dataclass(frozen=True)
class Excess:
    """An excess of held-out values among the lowest of held-out values and samples together.

    p_value: of the count, one-sided. fraction, of_samples: the fractions of held-out values and of samples there.
    threshold: the largest value there.
    """

    p_value: float
    fraction: float
    of_samples: float
    threshold: float


def excess_among_lowest(values: Array, draws: Array, fraction: float, rng: np.random.Generator) -> Excess:
    """`Excess` of ``values: (N,)`` over ``draws: (K,)`` among the lowest ``fraction`` of both, ties broken at random.

    Of equally distributed ones, the number of values there has a hypergeometric distribution.
    """
    from scipy.stats import hypergeom

    both = np.concatenate([values, draws])
    count = max(1, math.ceil(fraction * len(both)))
    lowest = np.lexsort((rng.random(len(both)), both))[:count]
    found = int((lowest < len(values)).sum())
    p_value = float(hypergeom.sf(found - 1, len(both), len(values), count))
    return Excess(p_value, found / len(values), (count - found) / len(draws), float(both[lowest[-1]]))
