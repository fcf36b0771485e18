"""The dependence of columns of any kind, by their mutual information."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pushforward.array_types import Array

# The level of the tests of all pairs of columns together.
_LEVEL = 0.05


def informational_correlation(first: Array, second: Array) -> float:
    """The coefficient ``sqrt(1 - exp(-2 I))`` of codes ``(N,)`` of two columns, from 0 to 1, after Linfoot, 1957.

    I: the mutual information, minus its mean in a table of N rows of independent columns. Of a Gaussian pair, about the
    correlation.

    >>> import numpy as np
    >>> codes = np.arange(1000) % 4
    >>> round(informational_correlation(codes, codes), 2)
    0.97
    """
    counts = _contingency(first, second)
    height, width = counts.shape
    fractions = counts / max(1, len(first))
    entropies = [_entropy(part) for part in (fractions.sum(1), fractions.sum(0), fractions.ravel())]
    # Twice the information, times N, has about a chi-squared distribution if the columns are independent. The
    # correction of Miller & Madow, which counts the cells that have a row, is too small where many have none.
    bias = (height - 1) * (width - 1) / (2 * max(1, len(first)))
    information = max(0.0, entropies[0] + entropies[1] - entropies[2] - bias)
    return float(np.sqrt(-np.expm1(-2 * information)))


def strongest_pairs(codes: Sequence[Array], most: int) -> list[tuple[int, int, float]]:
    """The ``most`` pairs of columns with the largest coefficients, in descending order.

    Pairs that depend on each other no more than chance allows, at 5 % over all pairs, are left out.
    """
    pairs = [(i, j) for j in range(len(codes)) for i in range(j)]
    sizes = [(i, j, informational_correlation(codes[i], codes[j])) for i, j in pairs]
    sizes = [(i, j, size) for i, j, size in sizes if size > 0 and _p_value(codes[i], codes[j]) * len(pairs) < _LEVEL]
    return sorted(sizes, key=lambda pair: -pair[2])[:most]


def _contingency(first: Array, second: Array) -> Array:
    """The number of rows with each pair of codes."""
    (_, a), (_, b) = (np.unique(codes, return_inverse=True) for codes in (first, second))
    height, width = int(a.max(initial=0)) + 1, int(b.max(initial=0)) + 1
    return np.bincount(a * width + b, minlength=height * width).reshape(height, width)


def _p_value(first: Array, second: Array) -> float:
    """The p-value of the chi-squared test of independence."""
    from scipy.stats import chi2_contingency

    return float(chi2_contingency(_contingency(first, second), correction=False).pvalue)


def _entropy(fractions: Array) -> float:
    """The entropy in nats."""
    some = fractions[fractions > 0]
    return float(-(some * np.log(some)).sum())
