"""Predictions of targets beside their values, for a report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pushforward.array_types import Array
from pushforward.estimators.columns.tables import Table
from pushforward.estimators.predictions import PredictedNumbers
from pushforward.estimators.report_rows import JudgedRows
from pushforward.evaluation.fit_quality.resampling import count_of_independent, systematic
from pushforward.evaluation.predictive_scores import PredictedTarget

_MOST, _WORST, _CELLS = 2000, 8, 6


def predicted_target(distributions: PredictedNumbers, actual: Array, rng: np.random.Generator) -> PredictedTarget:
    """The predictions of one target of N rows. A value with a mass gets a random PIT between its two limits."""
    upto = distributions.cdf(actual)
    under = distributions.cdf(np.nextafter(actual, -np.inf))
    ends = distributions.ppf(np.array([0.05, 0.95]))
    return PredictedTarget(
        distributions.column.name,
        actual,
        distributions.mean(),
        ends[:, 0],
        ends[:, 1],
        under,
        upto,
        under + rng.random(len(actual)) * (upto - under),
        distributions.crps(actual),
    )


def random_rows(judged: JudgedRows, seed: int) -> Array:
    """The numbers of at most so many rows of equal weight among those of a report, without those of density zero."""
    weights, rng = judged.rows.weights.numpy(), np.random.default_rng(seed)
    rows = np.arange(len(weights))
    if not (weights == weights[0]).all():
        rows = systematic(weights, count_of_independent(weights), rng)
    rows = rows[judged.scores.discrete.isfinite().numpy()[rows]]
    return rows if len(rows) <= _MOST else np.sort(rng.permutation(rows)[:_MOST])


def worst_rows(judged: JudgedRows) -> Array:
    """The numbers of the rows with the lowest log-densities, without those of density zero."""
    scores = judged.scores.total.numpy()
    order = np.argsort(np.where(np.isfinite(scores), scores, np.inf), kind="stable")
    return order[: min(_WORST, int(np.isfinite(scores).sum()))]


def describe_worst(
    judged: JudgedRows, rows: Array, modelled: Sequence[str], features: Table, predicted: Sequence[PredictedTarget]
) -> tuple[dict[str, Any], ...]:
    """The rows numbered ``rows``, whose features and predictions are given: their scores, cells and intervals.

    modelled: the names of the features that predict, of which the first are told.
    """
    scores = judged.scores.total.numpy()
    names = [name for name in modelled if name in features.columns]
    described = []
    for place, row in enumerate(rows):
        described.append(
            {
                "row": None if judged.numbers is None else int(judged.numbers[row]),
                "log_density": float(scores[row]),
                "cells": {name: str(features.columns[name][place].as_py())[:40] for name in names[:_CELLS]},
                "more_cells": max(0, len(names) - _CELLS),
                "targets": [
                    {
                        "name": each.name,
                        "actual": float(each.actual[place]),
                        "mean": float(each.mean[place]),
                        "low": float(each.low[place]),
                        "high": float(each.high[place]),
                    }
                    for each in predicted
                ],
            }
        )
    return tuple(described)
