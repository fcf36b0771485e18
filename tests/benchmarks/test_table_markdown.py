"""The Markdown table of finished cells: sorted, the best in bold, seeds together, budgets apart."""

from __future__ import annotations

from typing import Any

from table_markdown import markdown


def _line(table: str, model: str, test: float | None, seed: int = 0, **more: Any) -> dict[str, Any]:
    line = {"table": table, "model": model, "test": test, "standard_error": 0.01, "kind": "exact", "seed": seed}
    return {**line, "seconds": 45.0, "threads": 1, "floor": 0.01, "lr": 0.001, "batch": 256, **more}


def _rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in text.splitlines() if row.startswith("|")]


def test_models_are_sorted_by_mean_rank_and_the_best_of_a_column_is_bold() -> None:
    lines = [_line("a", "poor", 0.0), _line("a", "good", 2.0), _line("b", "poor", -5.0), _line("b", "good", -4.0)]
    (text,) = markdown(lines)
    assert text.startswith("45 s on 1 thread a cell; floor 0.01; nats a row")
    rows = _rows(text)
    assert rows[0] == ["model", "a", "b"]
    assert rows[2] == ["good", "**2.000 ± 0.010**", "**-4.000 ± 0.010**"]
    assert rows[3] == ["poor", "0.000 ± 0.010", "-5.000 ± 0.010"]


def test_a_model_that_misses_a_table_ranks_last_there() -> None:
    lines = [_line("a", "half", 1.0), _line("a", "whole", 0.0), _line("b", "whole", 0.0)]
    rows = _rows(markdown(lines)[0])
    assert [row[0] for row in rows[2:]] == ["whole", "half"]
    assert rows[3] == ["half", "**1.000 ± 0.010**", ""]


def test_seeds_are_averaged_and_their_range_is_shown() -> None:
    lines = [_line("a", "nsf", value, seed) for seed, value in enumerate((1.0, 2.0, 3.0))]
    assert _rows(markdown(lines)[0])[2] == ["nsf", "**2.000 ± 0.010** [1.000, 3.000]"]


def test_a_density_of_zero_is_shown_and_is_never_the_best() -> None:
    rows = _rows(markdown([_line("a", "broken", None), _line("a", "nsf", -9.0)])[0])
    assert [row[:2] for row in rows[2:]] == [["nsf", "**-9.000 ± 0.010**"], ["broken", "-inf"]]


def test_budgets_are_tables_of_their_own_and_other_options_rows_of_their_own() -> None:
    lines = [_line("a", "nsf", 0.0), _line("a", "nsf", 1.0, seconds=180.0), _line("a", "nsf", 2.0, lr=0.01)]
    long, short = markdown(lines)
    assert long.startswith("180 s")
    assert {row[0] for row in _rows(short)[2:]} == {"nsf (lr 0.001, batch 256)", "nsf (lr 0.01, batch 256)"}


def test_other_kinds_than_exact_are_named() -> None:
    assert _rows(markdown([_line("a", "cif", 0.0, kind="bound")])[0])[2] == ["cif", "**0.000 ± 0.010** (bound)"]


def test_cells_of_older_options_are_left_out_and_named() -> None:
    lines = [
        _line("a", "nsf", 1.0, options="old"),
        _line("a", "nsf", 1.5, seed=1, options="old"),
        _line("a", "maf", 0.0, options="same"),
        _line("a", "nsf", 2.0, options="new"),
    ]
    (text,) = markdown(lines)
    assert [row[:2] for row in _rows(text)[2:]] == [["nsf", "**2.000 ± 0.010**"], ["maf", "0.000 ± 0.010"]]
    assert text.endswith("Left out, older cells with other options: a nsf (2).")
    assert "Left out" not in markdown(lines[2:])[0]


def test_lines_without_options_are_older_than_those_with() -> None:
    (text,) = markdown([_line("a", "nsf", 1.0), _line("a", "nsf", 2.0, options="new")])
    assert _rows(text)[2] == ["nsf", "**2.000 ± 0.010**"]
    assert text.endswith("other options: a nsf.")
