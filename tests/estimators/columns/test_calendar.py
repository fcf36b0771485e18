"""Calendars of dates: periods that models see, and the change of time where weekends or nights have fewer rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow
import pytest
import torch

from pushforward.array_types import Array
from pushforward.estimators import FlowDensity, FlowRegressor
from pushforward.estimators.columns.calendar import Calendar, Period, TimeChange
from pushforward.estimators.columns.plan import ColumnPlan
from pushforward.estimators.columns.standard import Standard

RNG = np.random.default_rng(0)
MONDAY = np.datetime64("2021-01-04")
# Sales of each day of the working week.
SALES = np.array([0.0, 3.0, 6.0, 3.0, 0.0])


def working_days(count: int) -> Array:
    days = MONDAY + np.arange(3 * 364)
    return RNG.choice(days[weekday(days) < 5], count)


def weekday(days: Array) -> Array:
    return (days.astype("M8[D]") - MONDAY).astype(int) % 7


@pytest.fixture(scope="module")
def sales() -> pyarrow.Table:
    days = working_days(800)
    return pyarrow.table({"sales": SALES[weekday(days)] + 0.5 * RNG.normal(size=800), "day": days})


@pytest.fixture(scope="module")
def density(sales: pyarrow.Table) -> FlowDensity:
    return FlowDensity(max_steps=150, architectures=()).fit(sales)


@pytest.mark.parametrize("width", [1, 24])
def test_a_time_change_is_a_monotone_map_with_its_derivative(width: int) -> None:
    change = TimeChange(offset=2 * width, width=width, fractions=(0.3, 0.001, 0.2, 0.499))
    steps = np.sort(RNG.uniform(-9, 30, 500)) * width
    times, log_slopes = change.encode(steps)
    assert (np.diff(times) > 0).all()
    np.testing.assert_allclose(change.decode(times), steps, atol=1e-9 * width)
    ahead, _ = change.encode(steps + 1e-3)
    inside = np.floor((steps + 1e-3 + 0.5) / width) == np.floor((steps + 0.5) / width)
    np.testing.assert_allclose((ahead - times)[inside] / 1e-3, np.exp(log_slopes[inside]), rtol=1e-6)
    cycle, _ = change.encode(np.array([5.0, 5.0 + 4 * width]))
    assert cycle[1] - cycle[0] == pytest.approx(4 * width)


@pytest.mark.parametrize(
    ("dates", "lengths"),
    [
        (MONDAY + np.arange(10), []),
        (MONDAY + np.arange(20), [7]),
        (MONDAY + 7 * np.arange(100), [365.2425]),
        (MONDAY + np.arange(400), [7, 365.2425]),
        (MONDAY.astype("M8[h]") + np.arange(100), [24]),
        (MONDAY.astype("M8[h]") + 24 * np.arange(30) + 9, [7]),
        (MONDAY.astype("M8[m]") + 90 * np.arange(16 * 400), [1440, 7 * 1440, 365.2425 * 1440]),
        (np.arange(20).astype("m8[h]"), []),
    ],
)
def test_dates_have_the_periods_that_they_span_and_distinguish(dates: Array, lengths: list[float]) -> None:
    kind = ColumnPlan.guess({"when": dates, "x": RNG.normal(size=len(dates))}).modelled[0].kind
    assert [period.steps for period in kind.periods] == pytest.approx(lengths)


def test_features_are_those_of_the_weekday_whatever_the_noise() -> None:
    days = working_days(400)
    plan = ColumnPlan.guess({"day": days, "x": RNG.normal(size=400)})
    calendar = plan.shapes[0].calendar
    assert calendar is not None
    week = [period for period in calendar.periods if period.steps == 7]
    calendar = calendar.model_copy(update={"periods": tuple(week)})
    rows = [plan.encode({"day": days, "x": np.zeros(400)}, places=[place]) for place in (0.01, 0.99)]
    features = [calendar.features(each.values[:, 0]) for each in rows]
    torch.testing.assert_close(features[0], features[1])
    expected = torch.from_numpy(np.sin(2 * np.pi * weekday(days) / 7))
    torch.testing.assert_close(features[0][:, 0], expected)
    assert features[0].round(decimals=9).unique(dim=0).shape == (5, 6)


def test_days_without_rows_are_rare_in_samples_and_have_a_low_density(density: FlowDensity) -> None:
    days = density.sample(3000, random_state=0)["day"].to_numpy()
    assert (weekday(days) > 4).mean() < 0.01
    friday = pyarrow.table({"sales": [0.0, 0.0], "day": MONDAY + np.array([368, 369])})
    scores = density.score_samples(friday)
    assert scores[0] > scores[1] + 4


def test_the_other_columns_follow_the_weekday(density: FlowDensity) -> None:
    sample = density.sample(3000, random_state=0)
    days, sold = weekday(sample["day"].to_numpy()), sample["sales"].to_numpy()
    means = [sold[days == day].mean() for day in range(5)]
    np.testing.assert_allclose(means, SALES, atol=0.4)


def test_a_regression_on_a_date_follows_the_weekday(sales: pyarrow.Table) -> None:
    model = FlowRegressor(max_steps=150).fit(sales.select(["day"]), sales["sales"].to_numpy())
    predicted = model.predict(pyarrow.table({"day": MONDAY + 700 + np.arange(5)}))
    np.testing.assert_allclose(predicted, SALES, atol=0.6)


def test_a_saved_density_of_dates_scores_alike(density: FlowDensity, sales: pyarrow.Table, tmp_path: Path) -> None:
    density.save(tmp_path / "m")
    again = FlowDensity.load(tmp_path / "m")
    np.testing.assert_array_equal(again.score_samples(sales), density.score_samples(sales))


def test_office_hours_are_found_among_the_hours_of_the_week() -> None:
    hours = working_days(4000).astype("M8[h]") + RNG.integers(9, 17, 4000)
    kind = ColumnPlan.guess({"when": hours, "x": RNG.normal(size=4000)}).modelled[0].kind
    assert len(kind.change.fractions) == 168
    fractions = np.array(kind.change.fractions).reshape(7, 24)
    assert fractions[:5, 9:17].sum() > 0.98


def test_evenly_spaced_dates_keep_their_time() -> None:
    for dates in (MONDAY + np.arange(400), MONDAY.astype("M8[h]") + np.arange(4000), working_days(15)):
        assert ColumnPlan.guess({"when": dates, "x": RNG.normal(size=len(dates))}).modelled[0].kind.change is None


def test_dates_come_back_from_the_changed_time_exactly() -> None:
    moments = working_days(500).astype("M8[us]") + RNG.integers(9 * 3600, 17 * 3600, 500) * 10**6
    plan = ColumnPlan.guess({"when": moments, "x": RNG.normal(size=500)})
    rows = plan.encode({"when": moments, "x": np.zeros(500)}, generator=torch.Generator().manual_seed(0))
    assert plan.modelled[0].kind.change is not None
    np.testing.assert_array_equal(plan.decode(rows, library=None)["when"], moments)


def test_a_calendar_without_periods_has_no_features() -> None:
    calendar = Calendar(unit=Standard(location=0.0, scale=1.0))
    assert calendar.width == 0
    assert calendar.features(torch.zeros(3)).shape == (3, 0)
    with_one = Calendar(unit=calendar.unit, periods=(Period(steps=7.0, phase=0.5, harmonics=1),))
    torch.testing.assert_close(with_one.features(torch.zeros(1)), torch.tensor([[0.0, -1.0]]).double())
