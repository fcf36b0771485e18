"""Atoms: values of a column of numbers with a probability of their own, such as zeros, caps and sentinels."""

from __future__ import annotations

import numpy as np

from pushforward.array_types import Array
from pushforward.estimators.columns.hints import Hint
from pushforward.estimators.columns.standard import Distinct

# The fraction of the rows, the number of rows, and how much commoner than other values an atom is.
_FRACTION, _ROWS, _RATIO = 0.01, 10, 5.0
_MOST = 10
# Atoms that a reason gives with their fractions.
_SHOWN = 4
# Values at which quantities end: rows at such an end need not be many.
_ENDS = (0.0, 1.0, 100.0)


def find_atoms(distinct: Distinct, hint: Hint, whole_type: bool) -> tuple[float, ...]:
    """The atoms of a column in ascending order: those of a hint, infinities, and values that stand out.

    A value stands out that is five times commoner than every value that is no atom, or, if it is the least or the
    largest, than the three next to it. whole_type: whether the column is of integers.
    """
    values, counts = distinct.values, distinct.counts
    finite = np.isfinite(values)
    infinite = values[~finite].tolist()
    if hint.atoms:
        return tuple(sorted({*hint.atoms, *infinite}))
    if hint.word in ("real", "integer", "period"):
        return tuple(sorted(infinite))
    chosen = np.zeros(len(values), dtype=bool)
    if hint.word in ("positive", "bounded") and not whole_type:
        chosen |= np.isin(values, [bound for bound in (hint.low, hint.high) if bound is not None])
    fewest = max(_FRACTION * distinct.rows, _ROWS)
    chosen[_outstanding(np.where(finite, counts, 0), fewest)] = True
    if not whole_type:
        ends = np.zeros(len(values), dtype=bool)
        ends[[0, -1]] = np.isin(values[[0, -1]], _ENDS)
        chosen |= ends & (counts >= max(_FRACTION * distinct.rows, 2)) & (counts > np.median(counts))
    places = np.flatnonzero(~chosen & finite)
    for place, around in ((places[:1], places[1:4]), (places[-1:], places[-4:-1])):
        if len(around) and counts[place[0]] >= max(fewest, _RATIO * np.median(counts[around])):
            chosen[place] = True
    return tuple(sorted({*infinite, *values[chosen & finite].tolist()}))


def find_repeated(distinct: Distinct, atoms: tuple[float, ...]) -> tuple[float, ...]:
    """The atoms of a column whose other values would have a density, and its common values, in ascending order.

    Where many rows have the same value, a density can be as high as the model allows, which says nothing of the fit.
    """
    common = distinct.values[distinct.counts >= max(_FRACTION * distinct.rows, _ROWS)]
    return tuple(sorted({*atoms, *common.tolist()}))


def _outstanding(counts: Array, fewest: float) -> Array:
    """The places of the commonest values, if they are far commoner than the next one."""
    order = np.argsort(-counts, kind="stable")[: _MOST + 1]
    ranked = counts[order]
    for number in range(min(_MOST, len(ranked) - 1), 0, -1):
        if ranked[number - 1] >= max(fewest, _RATIO * ranked[number]):
            return order[:number]
    return order[:0]


def fractions_of_atoms(distinct: Distinct, atoms: tuple[float, ...]) -> str:
    """The fractions of the rows at the commonest atoms, as the end of a reason."""
    if not atoms:
        return ""
    counts = {atom: int(distinct.counts[distinct.values == atom].sum()) for atom in atoms}
    first = [atom for atom in atoms if atom in sorted(atoms, key=counts.__getitem__, reverse=True)[:_SHOWN]]
    parts = [f"{_part(counts[atom], distinct.rows)} are {atom:g}" for atom in first]
    more = [f"{len(atoms) - _SHOWN} other values are common too"] if len(atoms) > _SHOWN else []
    return "; " + ", ".join([*parts, *more])


def _part(count: int, rows: int) -> str:
    return f"{count / rows:.1%} of rows" if count >= 0.001 * rows else f"{count:,} of {rows:,} rows"
