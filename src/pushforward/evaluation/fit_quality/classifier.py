"""The classifier two-sample test: how well boosted trees tell samples of a model from held-out rows.

Lopez-Paz & Oquab, "Revisiting classifier two-sample tests", 2017.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from pushforward.array_types import Array
from pushforward.evaluation.fit_quality.evidence import FitEvidence
from pushforward.evaluation.fit_quality.findings import Finding

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier

_ROWS = 4000  # of each kind
_VALUES = 400_000  # of both kinds together
_SHOWN = 3  # columns that give the samples away
_MIN_ROWS = 40


def two_samples(evidence: FitEvidence, rng: np.random.Generator) -> list[Finding]:
    """The area under the curve (AUC) of the classifier, and the columns that it relies on.

    An AUC of 0.5 means that it cannot tell samples from held-out rows. The classifier learns on one half of the rows
    and is tested on the other: the folds of a cross-validation depend on each other, and the standard error of their
    mean is 1.4 times the one of independent folds. A conditional model's samples have the contexts of the rows; a row
    and its sample are in the same half, so that no context gives the answer away.
    """
    if evidence.held_out is None or evidence.samples is None:
        return []
    from scipy.stats import norm

    held, drawn, columns = evidence.held_out, evidence.samples, evidence.held_out.shape[1]
    if evidence.context is not None:
        held, drawn = (np.concatenate([x, evidence.context], 1) for x in (held, drawn))
    count = min(len(held), len(drawn), max(_MIN_ROWS, min(_ROWS, _VALUES // (2 * held.shape[1]))))
    if count < _MIN_ROWS:
        return []
    order = rng.permutation(len(held))[:count]
    other = order if evidence.context is not None else rng.permutation(len(drawn))[:count]
    pairs = np.stack([held[order], drawn[other]])
    model, tested = _fitted(pairs[:, : count // 2]), pairs[:, count // 2 :]
    area, size = _area(model, tested), tested.shape[1]
    error = math.sqrt((2 * size + 1) / (12 * size * size))  # of the rank-sum statistic of equal distributions
    p_value = float(norm.sf((area - 0.5) / error))
    told = []
    if p_value < 0.01:
        told = _telling(model, tested, columns, rng)
    by = f", by {', '.join(evidence.column(number) for number, _ in told)}" if told else ""
    low, high = max(0.0, area - 1.96 * error), min(1.0, area + 1.96 * error)
    sure = f"AUC {area:.2f}, 95 % interval {low:.2f} to {high:.2f}"
    reason = f"a classifier tells samples from {evidence.rows_name} ({sure}){by}"
    values = {
        "auc": area,
        "interval": [low, high],
        "rows": size,
        "columns": {evidence.column(number): loss for number, loss in told},
    }
    return [Finding("classifier", reason, p_value, area, 0.53, 0.8, values)]


def _fitted(pairs: Array) -> HistGradientBoostingClassifier:
    """A classifier of the rows ``pairs[0]`` and samples ``pairs[1]``, ``(2, N, D)``."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        max_iter=40, learning_rate=0.15, max_leaf_nodes=12, min_samples_leaf=20, early_stopping=False, random_state=0
    )
    x = np.concatenate(list(pairs))
    # scikit-learn fails on a column without any value.
    return model.fit(np.where(np.isnan(x).all(0), 0.0, x), np.repeat([0, 1], pairs.shape[1]))


def _area(model: HistGradientBoostingClassifier, pairs: Array) -> float:
    from sklearn.metrics import roc_auc_score

    scores = model.decision_function(np.concatenate(list(pairs)))
    return float(roc_auc_score(np.repeat([0, 1], pairs.shape[1]), scores))


def _telling(
    model: HistGradientBoostingClassifier, pairs: Array, columns: int, rng: np.random.Generator
) -> list[tuple[int, float]]:
    """The columns whose permutation lowers the AUC most, with the loss."""
    whole, losses = _area(model, pairs), []
    for number in range(columns):
        shuffled = pairs.copy()
        column = shuffled[:, :, number].flatten()
        shuffled[:, :, number] = rng.permutation(column).reshape(2, -1)
        losses.append((number, whole - _area(model, shuffled)))
    losses.sort(key=lambda entry: -entry[1])
    return [entry for entry in losses[:_SHOWN] if entry[1] > 0]
