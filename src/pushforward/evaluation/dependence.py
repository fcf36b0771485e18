"""The dependence of columns of any kind, by their mutual information."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pushforward.array_types import Array


def informational_correlation(first: Array, second: Array) -> float:
    """The coefficient ``sqrt(1 - exp(-2 I))`` of codes ``(N,)`` of two columns, from 0 to 1, after Linfoot, 1957.

    I: the mutual information, corrected for its bias by Miller & Madow. Of a Gaussian pair, about the correlation.

    >>> import numpy as np
    >>> codes = np.arange(1000) % 4
    >>> round(informational_correlation(codes, codes), 2)
    0.97
    """
    (_, a), (_, b) = (np.unique(codes, return_inverse=True) for codes in (first, second))
    height, width = int(a.max(initial=0)) + 1, int(b.max(initial=0)) + 1
    counts = np.bincount(a * width + b, minlength=height * width).reshape(height, width)
    fractions = counts / max(1, len(a))
    entropies = [_entropy(part, len(a)) for part in (fractions.sum(1), fractions.sum(0), fractions.ravel())]
    information = max(0.0, entropies[0] + entropies[1] - entropies[2])
    return float(np.sqrt(-np.expm1(-2 * information)))


def strongest_pairs(codes: Sequence[Array], most: int) -> list[tuple[int, int, float]]:
    """The ``most`` pairs of columns with the largest coefficients, in descending order."""
    columns = range(len(codes))
    pairs = [(i, j, informational_correlation(codes[i], codes[j])) for i in columns for j in columns if i < j]
    return sorted(pairs, key=lambda pair: -pair[2])[:most]


def _entropy(fractions: Array, rows: int) -> float:
    """The entropy in nats, plus the correction of Miller & Madow for the fractions of a sample."""
    some = fractions[fractions > 0]
    return float(-(some * np.log(some)).sum() + (len(some) - 1) / (2 * max(1, rows)))
