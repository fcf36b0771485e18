"""Cells that no training row could have: numbers and dates become the nearest possible ones, others are unknown."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pyarrow
import pytest

from pushforward.errors import DataError, NearestCellWarning, UnknownCellWarning
from pushforward.estimators import FlowDensity, FlowRegressor
from pushforward.estimators.columns.plan import ColumnPlan
from pushforward.estimators.columns.tables import read_table
from pushforward.estimators.possible_cells import possible_cells

RNG = np.random.default_rng(0)
COUNT = 400
DAYS = np.datetime64("2024-01-01") + RNG.permutation(np.arange(COUNT))
COLUMNS = {
    "count": RNG.poisson(30, COUNT),
    "tens": 10 * RNG.integers(10, 60, COUNT),
    "tenths": np.round(RNG.normal(20, 5, COUNT), 1),
    "single": np.round(RNG.normal(20, 5, COUNT), 1).astype(np.float32),
    "size": np.exp(RNG.normal(size=COUNT)),
    "day": DAYS.astype("datetime64[s]"),
    "text": np.datetime_as_string(DAYS),
    "word": RNG.choice(["u", "v"], COUNT),
    "zeros": np.where(RNG.random(COUNT) < 0.3, 0, RNG.integers(5, 90, COUNT)),
}
PLAN = ColumnPlan.guess(COLUMNS, {"size": "positive"})


def replaced(**cells: Any) -> dict[str, Any]:
    """The cells of columns as predictions take them; the first row of training elsewhere."""
    length = len(next(iter(cells.values())))
    rows = {name: np.repeat(values[:1], length) for name, values in COLUMNS.items()}
    table = possible_cells(PLAN, read_table({**rows, **cells}))
    assert not PLAN.encode(table, places=PLAN.middles, partial=True).impossible.any()
    return {name: table.columns[name].to_pylist() for name in cells}


@pytest.mark.parametrize(
    ("name", "cells", "nearest"),
    [
        ("count", [30.4, 29.6, -1.0, 20.0], [30, 30, 0, 20]),
        ("tens", np.array([104, 106, 110]), [100, 110, 110]),
        ("tenths", [20.04, 20.0, 19.96], [20.0, 20.0, 20.0]),
        ("single", np.array([20.13], np.float32), [float(np.float32(20.1))]),
        ("day", np.array(["2024-02-01T07:00", "2024-02-01T13:00"], "datetime64[s]"), [1, 2]),
        ("zeros", [0.3, 7.2, 0.0], [0, 7, 0]),
    ],
)
def test_a_number_off_the_grid_is_the_nearest_one_on_it(name: str, cells: Any, nearest: list[Any]) -> None:
    with pytest.warns(NearestCellWarning, match=f"column '{name}', row 0: .* expected, got") as told:
        found = replaced(**{name: cells})[name]
    assert len(told) == 1
    assert [cell.day if name == "day" else cell for cell in found] == nearest


def test_a_number_on_a_bound_is_one_well_inside() -> None:
    with pytest.warns(NearestCellWarning, match="2 rows have a value .* taken as the nearest"):
        zero, below, inside = replaced(size=[0.0, -0.02, 2.0])["size"]
    assert zero == below == pytest.approx(np.exp(-3), rel=0.5)
    assert inside == 2


@pytest.mark.parametrize(("name", "cell"), [("count", -50.0), ("count", np.inf), ("size", -50.0), ("word", "w")])
def test_labels_and_numbers_far_away_are_unknown(name: str, cell: Any) -> None:
    with pytest.warns(UnknownCellWarning, match=f"column '{name}', row 0"):
        assert replaced(**{name: [cell]}) == {name: [None]}


def test_possible_cells_stay_as_they_are_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = possible_cells(PLAN, read_table(COLUMNS))
    assert all(pyarrow.array(values).equals(table.columns[name]) for name, values in COLUMNS.items())


def test_predictions_and_conditions_take_the_nearest_value_and_scores_do_not() -> None:
    table = {"n": COLUMNS["count"], "x": COLUMNS["count"] + RNG.normal(size=COUNT)}
    regressor = FlowRegressor(max_steps=5).fit({"n": table["n"]}, table["x"])
    with pytest.warns(NearestCellWarning, match="'n', row 1"):
        means = regressor.predict({"n": [30.0, 30.4]})
    assert means[0] == means[1]
    density = FlowDensity(max_steps=5, architectures=()).fit(table)
    assert np.isneginf(density.score_samples({"n": [30.7], "x": [30.0]})).all()
    with pytest.warns(NearestCellWarning) as told:
        drawn = density.sample(3, given={"n": [30.7, 20.0]})
    assert len(told) == 1
    assert drawn["n"].tolist() == [31] * 3 + [20] * 3
    with pytest.warns(NearestCellWarning):
        middle = density.quantiles("x", [0.5], given={"n": 30.7}, draws=200)
    assert middle == pytest.approx(31, abs=2)
    with pytest.raises(DataError, match="column 'n' expects"):
        density.sample(1, given={"n": -80.0})


def test_the_warning_names_each_column_its_value_and_the_value_that_is_used() -> None:
    with pytest.warns(NearestCellWarning) as told:
        used = replaced(size=[1.0, 0.0], count=[30.0, 30.4])["size"][1]
    start = "1 row has a value that no training row could have, which is taken as the nearest usual one "
    assert [str(each.message) for each in told] == [
        f"{start}(column 'count', row 1: a whole number from 0 expected, got 30.4, 30 is used)",
        f"{start}(column 'size', row 1: a number above 0 expected, got 0.0, {used:.4g} is used)",
    ]
