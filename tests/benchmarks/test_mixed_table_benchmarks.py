"""The checks of synthetic tables find each kind of fault; swaps change one value; the peers' quantiles are scored."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from table_regression import LEVELS, pinball

pd = pytest.importorskip("pandas")

# These import pandas where they are used, so they can be imported without it, but not run.
from synthetic_checks import broken_rows, changed_types, lost_masses, nearness, two_sample_auc  # noqa: E402
from table_explanations import swapped  # noqa: E402

N = 400


def _table(seed: int):  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(seed)
    income = np.where(rng.random(N) < 0.25, 0.0, rng.exponential(10, N))
    town = rng.choice(["north", "south"], N)
    rooms = rng.integers(1, 200, N)
    return pd.DataFrame({"income": income, "town": town, "rooms": rooms})


def test_another_sample_of_the_same_table_has_no_fault() -> None:
    real, synthetic = _table(0), _table(1)
    assert not np.any(list(broken_rows(synthetic, real, {"income": (0, None)}).values()))
    assert changed_types(synthetic, real) == []
    assert lost_masses(synthetic, real) == ([], 1)
    auc, error = two_sample_auc(synthetic, real, 0)
    assert abs(auc - 0.5) < 3 * error


@pytest.mark.parametrize(
    ("column", "value", "fault"),
    [("income", -1.0, "bound"), ("rooms", 1.5, "whole"), ("town", "west", "label"), ("rooms", None, "gap")],
)
def test_a_broken_row_is_found_with_its_fault(column: str, value: object, fault: str) -> None:
    real = _table(0)
    synthetic = _table(1).astype({"rooms": float})
    synthetic.loc[3, column] = value
    found = broken_rows(synthetic, real, {"income": (0, None)})
    assert {name: rows.nonzero()[0].tolist() for name, rows in found.items() if rows.any()} == {fault: [3]}


def test_a_lost_atom_and_a_changed_type_are_named_and_seen_by_the_classifier() -> None:
    real, synthetic = _table(0), _table(1)
    synthetic["income"] += 1e-3
    lost, counted = lost_masses(synthetic, real)
    assert counted == 1
    assert lost[0].startswith("income 0: 0.2")
    assert changed_types(synthetic.astype({"rooms": float}), real) == ["rooms"]
    assert two_sample_auc(synthetic, real, 0)[0] > 0.55


def test_copies_of_rows_of_the_fit_are_nearer_to_these_than_to_held_out_rows() -> None:
    train, held_out, other = _table(0), _table(1), _table(2)
    fair, copied = nearness(other, train, held_out, 0), nearness(train, train, held_out, 0)
    assert fair.closer == pytest.approx(0.5, abs=0.1)
    assert fair.distance == pytest.approx(1.0, abs=0.2)
    assert fair.copies < 0.1
    assert copied.closer > 0.9
    assert copied.copies == 1


def test_a_swap_changes_one_value_of_a_row_to_one_of_the_column() -> None:
    table = _table(0)
    rows, columns = swapped(table, list(table.columns), 0)
    different = (rows != table.loc[rows.index]).to_numpy()
    assert (different.sum(1) == 1).all()
    assert [table.columns[i] for i in different.argmax(1)] == columns.tolist()
    assert rows["income"].isin(set(table["income"])).all()


def test_twice_the_pinball_loss_is_the_crps_of_a_normal_distribution() -> None:
    y = np.random.default_rng(0).normal(size=4000)
    quantiles = np.tile(norm.ppf(LEVELS), (len(y), 1))
    exact = y * (2 * norm.cdf(y) - 1) + 2 * norm.pdf(y) - 1 / np.sqrt(np.pi)
    assert 2 * pinball(y, quantiles, LEVELS).mean() == pytest.approx(exact.mean(), rel=0.01)
