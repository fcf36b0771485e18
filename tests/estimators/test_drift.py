"""Drift of columns: changes beyond chance, with and without weights."""

from __future__ import annotations

import numpy as np

from pushforward.estimators.columns.plan import ColumnPlan
from pushforward.estimators.drift import Marginals, drift

RNG = np.random.default_rng(0)
TABLE = {"x": RNG.normal(size=2000), "town": RNG.choice(["Lyon", "Nice"], 2000)}
PLAN = ColumnPlan.guess(TABLE)
ROWS = PLAN.encode(TABLE, places=PLAN.middles)
FITTED = Marginals.of(PLAN, ROWS)


def test_weights_count_rows_of_both_tables() -> None:
    heavy = np.where(ROWS.values[:, 0].numpy() > 0, 3.0, 1.0)
    changes = {change.column: change for change in drift(PLAN, FITTED, ROWS, heavy)}
    assert changes["x"].significant
    assert not changes["town"].significant
    assert abs(changes["x"].size - 0.25) < 0.05
    weighted = Marginals.of(PLAN, ROWS, heavy)
    assert not any(change.significant for change in drift(PLAN, weighted, ROWS, heavy))
    assert not any(change.significant for change in drift(PLAN, FITTED, ROWS, np.ones(2000)))
