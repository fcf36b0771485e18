"""Cells unlike those of all training rows: numbers and dates become the nearest usual ones, others are unknown."""

from __future__ import annotations

import re
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
    "share": RNG.beta(4, 4, COUNT),
    "angle": RNG.uniform(0, 360, COUNT),
    "real": RNG.normal(size=COUNT),
    "wide": RNG.standard_t(2, COUNT),
    "longitude": np.round(RNG.uniform(-124, -114, COUNT), 1),
    "wait": RNG.integers(20, 90, COUNT).astype("timedelta64[m]").astype("timedelta64[s]"),
    "zeros": np.where(RNG.random(COUNT) < 0.3, 0, RNG.integers(5, 90, COUNT)),
}
PLAN = ColumnPlan.guess(COLUMNS, {"size": "positive", "share": "bounded:0:1", "angle": "period:0:360"})


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


@pytest.mark.parametrize(
    ("name", "cell", "expected"),
    [
        ("word", "w", "one of u, v"),
        ("count", -50.0, "a whole number from 0"),
        ("count", np.inf, "a whole number from 0"),
        ("count", 3000, r"a whole number from 0 near the training rows \(\d+ to \d+\)"),
        ("size", -50.0, "a number above 0"),
        ("size", 1e20, r"a number above 0 near the training rows \(0.07.* to 14.*\)"),
        ("share", 1.5, "a number between 0 and 1"),
        ("angle", np.inf, "a finite number"),
        ("real", -200.0, r"a finite number near the training rows \(-.* to .*\)"),
        ("wide", 1e30, r"a finite number near the training rows \(-.* to .*\)"),
        ("longitude", -1220.0, r"a multiple of 0.1 near the training rows \(-12[34].* to -114.*\)"),
        ("longitude", -1220.03, r"a multiple of 0.1"),
        ("tenths", 9000.0, r"a multiple of 0.1 from 0 near the training rows \(.*\)"),
        ("tens", 90_000, r"a multiple of 10 from 0 near the training rows \(1.0 to 590\)"),
        ("zeros", 9000, r"a whole number from 1 near the training rows \(5 to 89\) or 0"),
        ("day", np.datetime64("1924-02-01", "s"), r"a date near the training rows \(2024-01-01.* to 2025-02-03.*\)"),
        ("text", "2204-02-01", r"a date near the training rows \(2024-01-01 to 2025-02-03\)"),
        (
            "wait",
            np.timedelta64(90, "D").astype("timedelta64[s]"),
            r"a time near the training rows \(0:2.* to 1:29.*\)",
        ),
    ],
)
def test_labels_and_numbers_far_away_are_unknown(name: str, cell: Any, expected: str) -> None:
    with pytest.warns(UnknownCellWarning, match=f"column '{name}', row 0: {expected} expected, got") as told:
        assert replaced(**{name: np.array([cell])}) == {name: [None]}
    assert len(told) == 1


def test_a_number_close_to_a_bound_is_far_from_others_only_where_it_is_so_in_its_own_unit() -> None:
    with pytest.warns(NearestCellWarning, match="2 rows have"):
        small, zero = replaced(size=[1e-30, 0.0])["size"]
    assert small == zero == pytest.approx(np.exp(-3), rel=0.5)
    assert replaced(count=[0, 60]) == {"count": [0, 60]}


@pytest.mark.parametrize(
    ("name", "cell"),
    [("longitude", -126.0), ("real", 6.0), ("wide", -60.0), ("size", 90.0), ("angle", -5000.0), ("text", "2025-09-01")],
)
def test_numbers_and_dates_beyond_the_training_rows_but_not_far_from_them_stay(name: str, cell: Any) -> None:
    assert replaced(**{name: [cell]}) == {name: [cell]}


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
    with pytest.raises(DataError, match=r"column 'n' expects .* near the training rows \(.*\), got 8000"):
        density.sample(1, given={"n": 8000.0})
    assert np.isfinite(density.score_samples({"n": [8000], "x": [30.0]})).all()
    with pytest.warns(UnknownCellWarning, match="'n', row 0"):
        assert (density.sample(9, given={"n": [8000.0]})["n"] < 100).all()


def test_the_warning_names_each_column_its_value_and_the_value_that_is_used() -> None:
    with pytest.warns(NearestCellWarning) as told:
        used = replaced(size=[1.0, 0.0], count=[30.0, 30.4])["size"][1]
    start = "1 row has a value unlike those of all training rows, which is taken as the nearest usual one "
    assert [str(each.message) for each in told] == [
        f"{start}(column 'count', row 1: a whole number from 0 expected, got 30.4, 30 is used)",
        f"{start}(column 'size', row 1: a number above 0 expected, got 0.0, {used:.4g} is used)",
    ]


def test_a_number_far_from_the_training_rows_of_a_regressor_is_unknown_as_a_gap_is() -> None:
    rows = {"n": COLUMNS["longitude"], "x": COLUMNS["real"]}
    model = FlowRegressor(max_steps=5).fit(rows, COLUMNS["longitude"] + RNG.normal(size=COUNT))
    gap = model.predict({"n": [np.nan], "x": [0.0]})
    with pytest.warns(UnknownCellWarning, match="'n', row 0"):
        assert model.predict({"n": [-1220.0], "x": [0.0]}) == gap
    assert model.predict({"n": [-126.0], "x": [0.0]}) != gap


def test_rows_of_partial_fits_are_training_rows_of_which_no_number_is_far() -> None:
    density = FlowDensity(max_steps=5, architectures=()).partial_fit(
        {"x": RNG.normal(size=200), "y": RNG.normal(size=200)}
    )
    with pytest.raises(DataError, match="column 'x' expects"):
        density.sample(1, given={"x": 90.0})
    density.partial_fit({"x": RNG.normal(90, 1, 200), "y": RNG.normal(size=200)})
    assert density.sample(1, given={"x": 90.0})["x"] == 90


def test_plans_that_were_saved_without_the_ends_of_their_columns_know_far_numbers_of_light_tails() -> None:
    saved = ColumnPlan.from_json(re.sub(r'"reach": \[[^\]]*\]', '"reach": null', PLAN.to_json()))
    given = {"real": [-200.0], "wide": [1e30]}
    with pytest.warns(UnknownCellWarning, match="column 'real', row 0: a finite number expected, got -200"):
        table = possible_cells(saved, read_table(given))
    assert [array.to_pylist() for array in table.columns.values()] == [[None], [1e30]]
