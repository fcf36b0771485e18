"""Values of columns of numbers that get a probability of their own."""

import numpy as np
import pytest

from pushforward.errors import OptionError
from pushforward.estimators import FlowRegressor
from pushforward.estimators.columns.plan import ColumnPlan


def _irregular_with_common_values(rows: int, rng: np.random.Generator) -> np.ndarray:
    """Wages: 40 % of the rows have one of 12 irregular values, of which none is five times commoner than the next."""
    common = np.exp(rng.normal(4.6, 0.3, 12))
    chance = np.linspace(2, 1, 12)
    wages = np.exp(rng.normal(4.6, 0.4, rows))
    return np.where(rng.random(rows) < 0.4, rng.choice(common, rows, p=chance / chance.sum()), wages)


def test_common_values_among_irregular_numbers_are_atoms() -> None:
    wages = _irregular_with_common_values(3_000, np.random.default_rng(0))
    column = ColumnPlan.guess({"wage": wages}).modelled[0]
    values, counts = np.unique(wages, return_counts=True)
    assert column.atoms == tuple(values[counts >= 30])
    assert len(column.atoms) == 12
    assert column.treatment.endswith("12 atoms")
    assert "8 other values are common too" in column.reason


@pytest.mark.parametrize("kind", ["real", "positive+atoms:100"])
def test_a_hint_says_which_values_are_atoms(kind: str) -> None:
    wages = _irregular_with_common_values(3_000, np.random.default_rng(0))
    assert len(ColumnPlan.guess({"wage": wages}, {"wage": kind}).modelled[0].atoms) == ("atoms" in kind)


def test_common_values_of_columns_without_a_density_of_their_own_are_numbers() -> None:
    rng = np.random.default_rng(0)
    wages = _irregular_with_common_values(3_000, rng)
    model = FlowRegressor(max_steps=2).fit({"wage": wages}, rng.normal(size=3_000))
    assert model.plan_.modelled[0].atoms == ()


def test_a_plan_with_many_atoms_on_the_grid_of_the_other_values_is_saved_and_read_again() -> None:
    rng = np.random.default_rng(0)
    irregular = rng.choice([np.pi, np.e, 7.7777, 14.1421, 57.1577], 1_200)
    common = rng.choice(np.arange(100.0, 130.0), 3_600)
    prices = np.concatenate([irregular, common, rng.integers(0, 4_000, 1_200)])
    plan = ColumnPlan.guess({"price": prices})
    assert len(plan.modelled[0].atoms) == 35
    assert ColumnPlan.from_json(plan.to_json()) == plan


def test_too_many_atoms_are_refused() -> None:
    hint = "atoms:" + ",".join(map(str, range(101)))
    with pytest.raises(OptionError, match="column 'x': at most 100 atoms expected, got 101"):
        ColumnPlan.guess({"x": np.linspace(0, 1, 50)}, {"x": hint})


def test_the_reason_of_a_column_between_its_atoms_names_them() -> None:
    values = np.random.default_rng(0).normal(20, 5, 2_000)
    reasons = {
        "above 0; ": np.where(values < 14, 0.0, values),
        "below 22; ": np.minimum(values, 22.0),
        "above 0 and below 22; ": np.where(values < 14, 0.0, np.minimum(values, 22.0)),
    }
    for end, column in reasons.items():
        assert ColumnPlan.guess({"x": column}).modelled[0].reason.startswith(f"all values but atoms are {end}")
