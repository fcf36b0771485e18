"""Values that are given to a density: dates of any unit, tables without rows, and numbers of draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pushforward.errors import DataError
from pushforward.estimators import FlowDensity

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
