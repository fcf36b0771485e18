"""Drift of columns: changes beyond chance, with and without weights."""

from __future__ import annotations

import numpy as np

from pushforward.estimators.column_views import marginal_view
from pushforward.estimators.columns.plan import ColumnPlan
from pushforward.estimators.columns.tables import read_table
from pushforward.estimators.drift import Marginals, compared_rows, drift, unseen_labels

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


def test_content_that_no_training_row_had_is_drift() -> None:
    towns = np.where(np.arange(2000) % 10, TABLE["town"], "Rome")
    rows = compared_rows(PLAN, read_table({"x": TABLE["x"], "town": towns}))
    change, *others = drift(PLAN, FITTED, rows)
    assert (change.column, change.before, change.after) == ("town", "new labels 0.0%", "new labels 10.0%")
    assert change.significant
    assert change.by_states
    assert not any(other.significant for other in others)
    view = marginal_view(PLAN.modelled[1], FITTED.columns[1], rows, 1)
    assert view.labels == ("Lyon", "Nice", "new labels")
    np.testing.assert_allclose(view.fractions[:, 2], [0, 0.1], atol=0.001)


def test_new_gaps_are_drift_and_few_of_them_are_chance() -> None:
    for every, significant in ((20, True), (1000, False)):
        x = np.where(np.arange(2000) % every, TABLE["x"], np.nan)
        change = drift(PLAN, FITTED, compared_rows(PLAN, read_table({**TABLE, "x": x})))[0]
        assert change.significant is significant
        if significant:
            assert (change.column, change.before, change.after) == ("x", "gaps 0.0%", "gaps 5.0%")
    assert unseen_labels(PLAN.modelled[0]) == ("gaps", "impossible values")
