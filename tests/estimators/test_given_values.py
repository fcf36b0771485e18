"""Values that are given to a density: dates of any unit, tables without rows, and numbers of draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow
import pytest
import torch

from pushforward.errors import DataError, OptionError
from pushforward.estimators import FlowDensity, FlowRegressor
from pushforward.estimators.conditioning import quantiles_of

RNG = np.random.default_rng(0)
DAYS = np.datetime64("2021-01-01") + RNG.integers(0, 100, 200)
TABLE = {"day": DAYS, "x": np.where(RNG.random(200) < 0.1, np.nan, RNG.normal(size=200)), "c": RNG.poisson(9.0, 200)}


@pytest.fixture(scope="module")
def model() -> FlowDensity:
    return FlowDensity(max_steps=3, architectures=()).fit(TABLE)


@pytest.mark.parametrize("unit", ["D", "h", "m", "s", "ns", "array", "list"])
def test_a_given_date_may_have_any_unit(model: FlowDensity, unit: str) -> None:
    day = np.datetime64("2021-03-01")
    value: Any = {"array": np.array(day), "list": [day, None]}.get(unit)
    value = day.astype(f"M8[{unit}]") if value is None else value
    drawn = model.sample(1, given={"day": value})["day"]
    assert drawn[0] == day
    assert len(drawn) == (2 if unit == "list" else 1)
    if unit != "list":
        assert model.cdf({"day": value}, draws=200) == pytest.approx(model.cdf({"day": "2021-03-01"}, draws=200))


def test_a_point_of_another_type_is_refused(model: FlowDensity) -> None:
    with pytest.raises(DataError, match="points: column 'day' holds"):
        model.cdf({"day": "never"}, draws=10)


EMPTY = {"day": DAYS[:0]}
ANSWERS: dict[str, tuple[Callable[[FlowDensity], Any], tuple[int, ...]]] = {
    "quantiles": (lambda model: model.quantiles("x", [0.1, 0.9], given=EMPTY, draws=20), (0, 2)),
    "quantiles at no level": (lambda model: model.quantiles("x", [], given=EMPTY, draws=20), (0, 0)),
    "cdf": (lambda model: model.cdf({"c": [8, 9, 10]}, given=EMPTY, draws=20), (0, 3)),
    "cdf at no point": (lambda model: model.cdf({"c": np.array([])}, given={"x": 0.0}, draws=20), (0,)),
    "probability": (lambda model: model.probability("c > 9", given=EMPTY, draws=20).value, (0,)),
    "sample": (lambda model: model.sample(3, given=EMPTY)["c"], (0,)),
    "no draws": (lambda model: model.sample(0)["c"], (0,)),
    "no draws given one row": (lambda model: model.sample(0, given={"c": 9})["c"], (0,)),
    "no draws given values": (lambda model: model.sample(0, given={"x": [0.1, 0.2]})["day"], (0,)),
    "impute": (lambda model: model.impute({name: column[:0] for name, column in TABLE.items()})["x"], (0,)),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_about_no_rows_and_no_draws_are_empty(model: FlowDensity, name: str) -> None:
    ask, shape = ANSWERS[name]
    assert np.shape(ask(model)) == shape


@pytest.mark.parametrize("draws", [0, -1, 2.5, "3"])
def test_a_number_of_draws_that_is_none_is_refused(model: FlowDensity, draws: Any) -> None:
    least = r"draws: a whole number of at least 1 expected"
    asks: list[Callable[[], Any]] = [
        lambda: model.probability("c > 9", draws=draws),
        lambda: model.quantiles("x", [0.5], draws=draws),
        lambda: model.cdf({"x": 0.0}, draws=draws),
        lambda: model.impute(TABLE, draws=draws),
    ]
    for ask in asks:
        with pytest.raises(OptionError, match=least):
            ask()
    if draws != 0:
        with pytest.raises(OptionError, match="n_samples: a whole number of at least 0 expected"):
            model.sample(draws)


def test_draws_of_targets_may_be_none() -> None:
    regressor = FlowRegressor(max_steps=3).fit({"c": TABLE["c"]}, RNG.normal(size=200))
    assert regressor.sample({"c": [9, 10]}, 0).shape == (2, 0)
    with pytest.raises(OptionError, match="n: a whole number of at least 0 expected"):
        regressor.sample({"c": [9]}, -1)


def test_the_quantile_at_level_zero_has_a_weight() -> None:
    columns = {"x": pyarrow.array([3.0, 1.0, 2.0, 5.0])}
    log_weights = torch.tensor([[0.5, 0.0, 0.5, 0.0]]).double().log()
    assert quantiles_of("x", [0.0, 0.5, 1.0], columns, log_weights, None).tolist() == [2.0, 2.0, 3.0]
