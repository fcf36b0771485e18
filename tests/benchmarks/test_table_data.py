"""What is done to the tables of the benchmark, on small made-up tables."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import table_data
from table_data import Recipe, cleaned, first_of_each, largest_atom, prepare, resolution

from pushforward.errors import DataError

CHANCE = np.random.default_rng(0)


def test_of_repeated_rows_the_first_stays_in_place() -> None:
    x = np.array([[2.0, 1.0], [1.0, 1.0], [2.0, 1.0], [0.0, 3.0], [1.0, 1.0]])
    assert first_of_each(x).tolist() == [True, True, False, True, False]


def test_the_largest_atom_is_the_share_of_the_most_frequent_value() -> None:
    assert largest_atom(np.array([1.0, 2.0, 2.0, 3.0])) == 0.5


@pytest.mark.parametrize("step", [1.0, 0.2, 0.002, 1e-8])
def test_the_resolution_is_found_through_an_offset_and_rounding_errors(step: float) -> None:
    column = step * CHANCE.integers(0, 500, 2000) + 0.317 * step
    column = column + 1e-12 * np.ptp(column) * CHANCE.standard_normal(2000)
    assert resolution(column) == pytest.approx(step, rel=1e-12)


def test_the_resolution_of_a_constant_is_zero() -> None:
    assert resolution(np.full(10, 3.0)) == 0.0


def test_columns_with_an_atom_are_left_out_and_steps_are_spread_evenly() -> None:
    rounded = CHANCE.permutation(np.arange(5000.0))
    flag = (np.arange(5000) % 50 == 0).astype(float)
    recipe = Recipe("", atoms=False, spread_steps=True)
    x, notes = cleaned("made up", np.stack([flag, rounded], 1), recipe)
    assert x.shape == (5000, 1)
    noise = x[:, 0] - rounded
    assert noise.min() >= -0.5
    assert noise.max() <= 0.5
    assert noise.std() == pytest.approx(1 / np.sqrt(12), rel=0.05)
    assert any("columns 0 left out" in note for note in notes)


def test_an_atom_of_zero_rows_does_not_cost_a_column() -> None:
    x = CHANCE.standard_normal((1000, 2))
    x[:100] = 0
    kept, _ = cleaned("made up", x, Recipe("", atoms=False, rows_of_zeros=False))
    assert kept.shape == (900, 2)


def test_a_table_without_a_column_left_is_refused_with_the_reason() -> None:
    with pytest.raises(DataError, match="no column is left"):
        cleaned("made up", CHANCE.integers(0, 5, (1000, 3)).astype(float), Recipe("", atoms=False))


def _write(folder: Path, x: np.ndarray) -> None:
    with gzip.open(folder / "table.csv.gz", "wt") as file:
        np.savetxt(file, x, delimiter=",", fmt="%.17g")


def test_parts_are_standardised_on_the_training_part_and_carry_the_floor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = CHANCE.standard_normal((2000, 3)) * [1.0, 100.0, 0.01] + [5.0, 0.0, -1.0]
    _write(tmp_path, x)
    monkeypatch.setitem(table_data.RECIPES, "made up", Recipe("table.csv.gz"))
    plain, smooth = (prepare("made up", tmp_path, floor) for floor in (0.0, 0.1))
    assert [len(part) for part in (plain.train, plain.validation, plain.test)] == [1600, 200, 200]
    np.testing.assert_allclose(plain.train.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(plain.train.std(0), 1, rtol=1e-12)
    for part in ("train", "validation", "test"):
        difference = getattr(smooth, part) - getattr(plain, part)
        assert difference.std() == pytest.approx(0.1, rel=0.15)
        assert abs(difference.mean()) < 0.02


def test_a_table_is_the_same_every_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(tmp_path, CHANCE.standard_normal((200, 2)))
    monkeypatch.setitem(table_data.RECIPES, "made up", Recipe("table.csv.gz", spread_steps=True))
    first, second = (prepare("made up", tmp_path) for _ in range(2))
    assert first.floor == table_data.FLOOR
    for part in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(first, part), getattr(second, part))
