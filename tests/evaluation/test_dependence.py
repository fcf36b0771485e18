"""The dependence of columns: of few rows and of many, of numbers and of labels."""

from __future__ import annotations

import numpy as np
import pytest

from pushforward.evaluation.dependence import informational_correlation, strongest_pairs
from pushforward.reports.column_view import ColumnView


def codes_of(values: np.ndarray, labels: bool) -> np.ndarray:
    """The codes of a column of numbers, or of labels by sixth of a unit of the numbers."""
    states = np.floor(6 * values).astype(int) % 6 if labels else np.zeros(len(values), dtype=int)
    numbers = None if labels else (values, values)
    return ColumnView("x", (states, states), tuple("abcdef"), numbers).codes(0)


@pytest.mark.parametrize("rows", [0, 1, 2, 20])
def test_very_few_rows_show_no_dependence(rows: int) -> None:
    columns = [codes_of(part, False) for part in np.random.default_rng(0).random((2, rows))]
    assert strongest_pairs(columns, 3) == []


@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("rows", [60, 1000])
def test_independent_columns_have_no_dependence_beyond_chance(rows: int, labels: bool) -> None:
    rng, sizes, pairs = np.random.default_rng(1), [], 0
    for _ in range(60):
        columns = [codes_of(rng.random(rows), False), codes_of(rng.random(rows), labels)]
        sizes.append(informational_correlation(*columns))
        pairs += len(strongest_pairs(columns, 3))
    assert np.mean(sizes) < 0.2
    assert pairs <= 8


@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("rows", [60, 1000])
def test_dependent_columns_are_found_among_independent_ones(rows: int, labels: bool) -> None:
    rng = np.random.default_rng(2)
    x, other = rng.random((2, rows))
    columns = [codes_of(x, False), codes_of(other, False), codes_of(x, labels)]
    [(first, second, size)] = strongest_pairs(columns, 3)
    assert (first, second) == (0, 2)
    assert size > 0.8


def test_a_label_of_few_rows_has_no_code_of_its_own_in_either_table() -> None:
    first, second = np.repeat([0, 1, 2], [60, 38, 2]), np.repeat([0, 1, 2], [5, 5, 90])
    view = ColumnView("town", (first, second), ("Lyon", "Nice", "Brest"))
    assert list(np.unique(view.codes(0))) == [0, 1, 2]
    assert list(view.codes(1)[[0, 5, 10]]) == [1, 2, 0]
