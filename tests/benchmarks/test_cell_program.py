"""The loop over cells goes on after a failure, and the table of figures marks the best model of each row."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cell_program import Figure, parser_of, pivot, run_cells
from cells import Cells

KEY = ("table", "model", "seed")


def _line(model: str, seed: int, test: float | None) -> dict[str, Any]:
    return {"table": "protein", "model": model, "seed": seed, "test": test}


def test_a_cell_that_fails_is_told_and_the_next_is_done(tmp_path: Path, capsys: Any) -> None:
    arguments = parser_of("text", ["protein"], ["flow"], str(tmp_path / "cells.jsonl")).parse_args([])
    cells = Cells(arguments.out, KEY)

    def do(cell: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"test": 1 / cell["seed"]}

    wanted = [{"table": "protein", "model": "flow", "seed": seed} for seed in (0, 1)]
    assert run_cells(arguments, cells, wanted, do) == 1
    assert [(line["seed"], line["test"]) for line in cells.lines()] == [(1, 1.0)]
    assert "protein flow 0: failed: ZeroDivisionError" in capsys.readouterr().out


def test_the_best_figure_and_those_within_their_error_are_bold() -> None:
    lines = [_line("flow", s, 1.0 + 0.2 * s) for s in (0, 1)] + [_line("nsf", s, 1.1 + 0.2 * s) for s in (0, 1)]
    lines += [_line("gaussian", s, 0.0) for s in (0, 1)] + [_line("kernels", s, (None, 1.0)[s]) for s in (0, 1)]
    row = pivot(lines, Figure("test", "Nats", digits=2)).splitlines()[-1]
    assert row == "| protein | **1.10 ± 0.10** | **1.20 ± 0.10** | 0.00 | not finite |"
    assert "| **0.00** |" in pivot(lines, Figure("test", "Error", more_is_better=False, digits=2))
