"""Log-slopes and masses: a density of the encoded values is one of the original values, which integrates to 1."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from pushforward.estimators.columns.interval import Interval
from pushforward.estimators.columns.plan import ColumnPlan
from pushforward.estimators.encoded import EncodedRows

RNG = np.random.default_rng(1)
N = 2_000

WHOLE = RNG.integers(0, 200, N)
AROUND_50 = np.rint(RNG.normal(50, 12, N)).astype(int)

# A column, its hint, and the points between which its density is integrated.
CONTINUOUS: dict[str, tuple[Any, str | None, Any]] = {
    "normal": (RNG.normal(5, 2, N), None, np.linspace(-15, 25, 40_001)),
    "heavy": (RNG.standard_t(1.5, N), None, np.sinh(np.linspace(-25, 25, 40_001))),
    "lognormal": (np.exp(2 * RNG.normal(size=N)), None, np.exp(np.linspace(-25, 25, 40_001))),
    "exponential": (RNG.exponential(size=N), None, np.exp(np.linspace(-40, 6, 40_001))),
    "proportion": (RNG.uniform(size=N), None, 1 / (1 + np.exp(-np.linspace(-35, 35, 40_001)))),
    "beta": (RNG.beta(0.5, 0.5, N), "bounded:0:1", 1 / (1 + np.exp(-np.linspace(-35, 35, 40_001)))),
    "below": (3 - RNG.exponential(size=N), "bounded::3", 3 - np.exp(np.linspace(6, -30, 40_001))),
    "capped": (np.minimum(RNG.normal(size=N), 1.0), None, 1 - np.exp(np.linspace(6, -25, 40_001))),
}
INTEGERS: dict[str, tuple[Any, Any]] = {
    "integers": (RNG.integers(-300, 300, N), np.arange(-5_000, 5_000)),
    "counts": (RNG.geometric(0.01, N), np.arange(0, 40_000)),
    "floats": (RNG.poisson(100, N).astype(float), np.arange(0, 10_000)),
    "an atom among them": (np.where(WHOLE % 4 == 0, 50, AROUND_50), np.arange(-500, 2_000)),
    "two atoms side by side": (np.where(WHOLE % 4 == 0, 50 + WHOLE % 8 // 4, AROUND_50), np.arange(-500, 2_000)),
    "an atom below a cap": (np.where(WHOLE % 4 == 0, 50, np.minimum(AROUND_50, 65)), np.arange(-500, 2_000)),
    "near zero": (np.abs(np.rint(RNG.normal(60, 30, N))).astype(int), np.arange(-500, 2_000)),
    "common ones among them": (np.where(WHOLE % 4 == 0, AROUND_50, AROUND_50 // 5 * 5 + 400), np.arange(-500, 2_000)),
    "near the ends of their type": (RNG.integers(0, 256, N).astype(np.uint8), np.arange(-500, 2_000)),
}
PERIODIC: dict[str, tuple[Any, Any, str]] = {
    "an even angle": (RNG.uniform(0, 360, N), np.linspace(0, 360, 20_001), "period:0:360"),
    "an angle": (RNG.vonmises(3, 2, N) % (2 * np.pi), np.linspace(-1, 2 * np.pi - 1, 20_001), f"period:0:{2 * np.pi}"),
    "hours": (RNG.integers(0, 24, N), np.arange(24), "period:0:24"),
    "months": (RNG.choice([12, 1, 2, 3, 7], N), np.arange(1, 13), "period:1:13"),
}


def scores(plan: ColumnPlan, x: Any, draws: int = 1) -> Any:
    """The density of ``x`` where the encoded values are standard normal; its mean over places in a cell."""
    total = np.zeros(len(x))
    for place in (np.arange(draws) + 0.5) / draws:
        rows = plan.encode({"x": x}, places=[place] * plan.dequantised)
        density = np.exp(stats.norm.logpdf(rows.values[:, 0]) + rows.log_slopes[:, 0].numpy())
        total += np.where(rows.impossible | (rows.states[:, 0] != 0), 0.0, density) / draws
    return total


@pytest.mark.parametrize("name", CONTINUOUS)
def test_the_density_integrates_to_one(name: str) -> None:
    column, hint, points = CONTINUOUS[name]
    plan = ColumnPlan.guess({"x": column}, {} if hint is None else {"x": hint})
    assert np.trapezoid(scores(plan, points), points) == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("name", INTEGERS)
def test_the_probabilities_of_integers_sum_to_one(name: str) -> None:
    column, points = INTEGERS[name]
    plan = ColumnPlan.guess({"x": column})
    assert plan.columns[0].kind.label == "integer"
    assert scores(plan, points, draws=50).sum() == pytest.approx(1, abs=1e-2)


@pytest.mark.parametrize("name", PERIODIC)
def test_the_density_of_one_turn_integrates_to_one(name: str) -> None:
    column, points, hint = PERIODIC[name]
    plan = ColumnPlan.guess({"x": column}, {"x": hint})
    whole = points.dtype.kind == "i"
    density = scores(plan, points, draws=50 if whole else 1)
    total = density.sum() if whole else np.trapezoid(density, points)
    assert total == pytest.approx(1, abs=1e-2 if whole else 2e-3)


def test_a_value_with_a_mass_of_its_own_is_drawn_from_its_mass_alone() -> None:
    plan = ColumnPlan.guess({"x": INTEGERS["an atom among them"][0]})
    assert plan.columns[0].atoms == (50,)
    line = torch.linspace(-4, 4, 5_001).double()[:, None]
    drawn = plan.decode(EncodedRows.of(torch.zeros(5_001, 1, dtype=torch.long), line))["x"]
    assert 50 not in drawn
    assert {49, 51} <= set(drawn)
    assert (np.diff(drawn) >= 0).all()


def test_a_softplus_bound_leaves_numbers_far_from_it_as_they_are() -> None:
    interval = Interval(low=-0.5, form="softplus", scale=3.0)
    x = np.array([-0.499, 0.0, 2.5, 100.0, 2.0**50])
    points, log_slopes = interval.encode(x)
    assert points[-1] == x[-1]
    assert log_slopes[-1] == 0
    np.testing.assert_allclose(interval.decode(points), x, rtol=1e-12)
    upper = Interval(high=0.5, form="softplus", scale=3.0).encode(-x)
    np.testing.assert_allclose(upper, (-points, log_slopes))
    with pytest.raises(ValueError, match="one bound"):
        Interval(low=0.0, high=1.0, form="softplus")


def test_a_density_that_is_finite_at_a_bound_gets_normal_tails() -> None:
    for name in ("exponential", "proportion"):
        plan = ColumnPlan.guess({"x": CONTINUOUS[name][0]})
        values = plan.encode({"x": CONTINUOUS[name][0]}).values[:, 0]
        assert "probit" in plan.columns[0].kind.treatment
        assert stats.kstest(values, "norm").pvalue > 0.01
        assert values.abs().max() < 4.5
