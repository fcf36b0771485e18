"""Checks of a synthetic table against the table that it imitates: what every row must keep, and how alike they are."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from mixed_tables import Bounds
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import OrdinalEncoder

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray
# A column with fewer different values than this is a list of values; in others, a value above this fraction is an atom.
_FEW, _ATOM = 20, 0.03
# An atom or a gap is kept where its fraction differs by no more than this many standard errors and this part of itself.
_ERRORS, _PART = 4.0, 0.1
# Rows of each kind for the classifier, and those whose nearest rows are looked for.
_MOST, _NEAREST = 5_000, 1_000


def broken_rows(synthetic: pd.DataFrame, real: pd.DataFrame, bounds: Bounds) -> dict[str, Array]:
    """For each kind of fault, ``(N,)`` bool: the rows that have it in some column.

    bound: a value outside what its column can be. whole: a fraction in a column of whole numbers. label: a text or one
    of few values that the real column has not, but for whole numbers with bounds. gap: no value in a column without
    gaps.
    """
    faults = {name: np.zeros(len(synthetic), bool) for name in ("bound", "whole", "label", "gap")}
    for name in real.columns:
        new, old = synthetic[name], real[name].dropna()
        there = new.notna().to_numpy()
        if len(old) == len(real):
            faults["gap"] |= ~there
        counts = name in bounds and old.dtype.kind in "iuf" and bool((old % 1 == 0).all())
        if _is_list(old) and not counts:
            faults["label"] |= there & ~new.isin(set(old)).to_numpy()
            continue
        numbers = np.asarray(new.astype(float))
        low, high = bounds.get(name, (None, None))
        outside = (numbers < (-math.inf if low is None else low)) | (numbers > (math.inf if high is None else high))
        faults["bound"] |= there & outside
        if (old % 1 == 0).all():
            faults["whole"] |= there & (numbers % 1 != 0)
    return faults


def changed_types(synthetic: pd.DataFrame, real: pd.DataFrame) -> list[str]:
    """The columns whose name, place or type is another one."""
    if list(synthetic.columns) != list(real.columns):
        return sorted(set(synthetic.columns) ^ set(real.columns)) or ["the order of the columns"]
    return [name for name in real.columns if synthetic[name].dtype.kind != real[name].dtype.kind]


def lost_masses(synthetic: pd.DataFrame, real: pd.DataFrame) -> tuple[list[str], int]:
    """The atoms and gaps whose fraction is not kept, and the number of all atoms and gaps."""
    lost, counted = [], 0
    for name, value, fraction in _masses(real):
        column = synthetic[name]
        found = float((column.isna() if value is None else column == value).mean())
        error = math.sqrt(fraction * (1 - fraction) * (1 / len(real) + 1 / len(synthetic)))
        counted += 1
        if abs(found - fraction) > _ERRORS * error + _PART * fraction:
            lost.append(f"{name} {'gap' if value is None else f'{value:g}'}: {fraction:.3f}, {found:.3f}")
    return lost, counted


def _masses(real: pd.DataFrame) -> Iterator[tuple[str, Any, float]]:
    for name in real.columns:
        column = real[name]
        if column.isna().any():
            yield name, None, float(column.isna().mean())
        if not _is_list(column.dropna()):
            fractions = column.value_counts(normalize=True, dropna=False)
            yield from (
                (name, value, fraction) for value, fraction in fractions[fractions > _ATOM].items() if value == value
            )


def _is_list(column: pd.Series) -> bool:
    return column.dtype.kind not in "iuf" or column.nunique() < _FEW


def two_sample_auc(synthetic: pd.DataFrame, real: pd.DataFrame, seed: int) -> tuple[float, float]:
    """The AUC with which gradient boosting tells synthetic from real rows by cross-validation, and its standard error.

    0.5: it cannot tell them. The error is that of Hanley and McNeil for independent rows.
    """
    import pandas as pd

    count = min(len(synthetic), len(real), _MOST)
    both = pd.concat([table.sample(count, random_state=seed) for table in (synthetic, real)], ignore_index=True)
    labels = np.repeat([1, 0], count)
    listed = [name for name in real.columns if real[name].dtype.kind not in "iuf"]
    x = both.drop(columns=listed).astype(float)
    if listed:
        texts = both[listed].astype(str)
        coded = OrdinalEncoder(max_categories=200).fit_transform(texts)
        x = pd.concat([x, pd.DataFrame(coded, columns=listed)], axis=1)
    model = HistGradientBoostingClassifier(random_state=seed, categorical_features=listed or None)
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    auc = float(roc_auc_score(labels, cross_val_predict(model, x, labels, cv=folds, method="predict_proba")[:, 1]))
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = (auc * (1 - auc) + (count - 1) * (q1 + q2 - 2 * auc**2)) / count**2
    return auc, math.sqrt(max(variance, 0.0))


class Nearness(NamedTuple):
    """How near synthetic rows are to those of the fit.

    closer: the fraction nearer to a row of the fit than to each of as many held-out rows; 0.5 where none is copied.
    distance: the median distance to the nearest row of the fit, divided by that of held-out rows; 1 is best. copies:
    the fraction that equals a row of the fit.
    """

    closer: float
    distance: float
    copies: float


def nearness(synthetic: pd.DataFrame, train: pd.DataFrame, held_out: pd.DataFrame, seed: int) -> Nearness:
    """The distances of synthetic rows to the nearest row of the fit, beside those of rows held out of it.

    Numbers are in standard deviations of the rows of the fit; another label, or a gap, counts 1.
    """
    count = min(len(train), len(held_out))
    some = train.sample(count, random_state=seed)
    drawn, held = (table.sample(min(len(table), _NEAREST), random_state=seed) for table in (synthetic, held_out))
    rows, fitted, part, others, queries = _as_numbers(train, [drawn, train, some, held_out, held])
    to_fitted, to_part, to_others = (_nearest(rows, table) for table in (fitted, part, others))
    usual = _nearest(queries, fitted)
    ties = 0.5 * float((to_part == to_others).mean())
    return Nearness(
        float((to_part < to_others).mean()) + ties,
        float(np.median(to_fitted) / max(np.median(usual), 1e-12)),
        float((to_fitted < 1e-9).mean()),
    )


def _nearest(rows: Array, others: Array) -> Array:
    return np.asarray(NearestNeighbors(n_neighbors=1).fit(others).kneighbors(rows)[0][:, 0])


def _as_numbers(train: pd.DataFrame, tables: Sequence[pd.DataFrame]) -> list[Array]:
    """The tables as matrices whose distances are those of `nearness`."""
    parts: list[list[Array]] = [[] for _ in tables]
    for name in train.columns:
        if train[name].dtype.kind in "iuf":
            middle, scale = float(train[name].mean()), float(train[name].std()) or 1.0
            for matrix, table in zip(parts, tables, strict=True):
                numbers = (np.asarray(table[name].astype(float)) - middle) / scale
                matrix += [np.nan_to_num(numbers)[:, None], np.isnan(numbers)[:, None]]
        else:
            # Two rows of different labels differ in two indicators.
            for label in train[name].astype(str).unique():
                for matrix, table in zip(parts, tables, strict=True):
                    matrix.append((table[name].astype(str) == label).to_numpy()[:, None] / math.sqrt(2))
    return [np.concatenate(matrix, 1).astype(float) for matrix in parts]
