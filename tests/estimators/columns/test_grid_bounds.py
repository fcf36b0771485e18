"""Bounds of integers, of rounded numbers and of dates."""

import numpy as np
import pyarrow
import pytest
import torch

from pushforward.estimators.columns.plan import ColumnPlan

_RNG = np.random.default_rng(0)


def test_rounded_numbers_that_are_not_negative_stay_so() -> None:
    ages = np.floor(12 * _RNG.gamma(4, 2, 4000)) / 12 + 0.01
    plan = ColumnPlan.guess({"x": ages})
    assert plan.columns[0].kind.label == "rounded"
    rows = plan.encode({"x": ages[:50]}, places=plan.middles)
    rows.values[:, 0] = torch.linspace(-8, 8, 50, dtype=torch.float64)
    table = plan.decode(rows)
    assert np.asarray(table["x"]).min() >= 0
    assert not plan.encode(table).impossible.any()


@pytest.mark.parametrize("hint", ["bounded:1:60", "positive"])
def test_a_hint_of_bounds_leaves_whole_numbers_whole(hint: str) -> None:
    plan = ColumnPlan.guess({"x": _RNG.integers(1, 61, 2000).astype(float)}, {"x": hint})
    assert plan.columns[0].kind.label == "integer"
    assert plan.encode({"x": [0.5, 7.25]}).impossible.tolist() == [True, True]
    assert not plan.encode({"x": [1.0, 60.0]}).impossible.any()


def test_a_time_between_two_steps_of_the_dates_is_no_value_of_them() -> None:
    days = np.datetime64("2020-01-01") + np.arange(400).astype("timedelta64[D]")
    plan = ColumnPlan.guess({"x": pyarrow.array(days.astype("datetime64[s]"))})
    noon = np.array(["2020-03-01T12:00:00", "2020-03-01T00:00:00"], dtype="datetime64[s]")
    assert plan.encode({"x": pyarrow.array(noon)}).impossible.tolist() == [True, False]
