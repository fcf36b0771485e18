"""Log-slopes and masses: a density of the encoded values is one of the original values, which integrates to 1."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from pushforward.estimators.columns.plan import ColumnPlan

RNG = np.random.default_rng(1)
N = 2_000

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
}


def scores(plan: ColumnPlan, x: Any, draws: int = 1) -> Any:
    """The density of ``x`` where the encoded values are standard normal; its mean over draws of the noise."""
    total = np.zeros(len(x))
    for _ in range(draws):
        rows = plan.encode({"x": x})
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
    assert scores(plan, points, draws=20).sum() == pytest.approx(1, abs=1e-2)


def test_a_density_that_is_finite_at_a_bound_gets_normal_tails() -> None:
    for name in ("exponential", "proportion"):
        plan = ColumnPlan.guess({"x": CONTINUOUS[name][0]})
        values = plan.encode({"x": CONTINUOUS[name][0]}).values[:, 0]
        assert "probit" in plan.columns[0].kind.treatment
        assert stats.kstest(values, "norm").pvalue > 0.01
        assert values.abs().max() < 4.5
