"""The benchmark of the energies: its cells, its table, and what it leaves out."""

from __future__ import annotations

import json
from pathlib import Path

import energies as benchmark
import pytest


def test_a_run_fits_prints_and_draws_and_a_second_one_has_nothing_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = {**benchmark.OPTIONS, "samples": 200, "steps": 2}
    monkeypatch.setattr(benchmark, "OPTIONS", small)
    monkeypatch.setattr(benchmark, "_CELLS", 8)
    arguments = ["energies.py", "--flows", "no_such_flow,nice", "--seconds", "9", "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", arguments)
    assert benchmark.main() == 0
    shown = capsys.readouterr().out
    assert "no_such_flow: left out: no flow of that name; there are anf, bernstein, " in shown
    assert [line.split(" | ")[1] for line in shown.splitlines() if line.startswith("| nice")] == [
        "U1",
        "U2",
        "U3",
        "U4",
    ]
    lines = [json.loads(line) for line in (tmp_path / "energies.jsonl").read_text().splitlines()]
    assert [line["energy"] for line in lines] == ["U1", "U2", "U3", "U4"]
    assert all(line["flow_options"]["base"] == "logistic" and line["steps"] == 2 for line in lines)
    assert (tmp_path / "energies.png").stat().st_size > 0
    assert benchmark.main() == 0
    assert "done in" not in capsys.readouterr().out


def test_figures_that_are_not_finite_are_dashes_in_the_table() -> None:
    line = {
        **dict.fromkeys(("elbo", "elbo_standard_error", "log_normaliser", "standard_error", "effective")),
        "flow": "nice",
        "energy": "U1",
        "true_log_normaliser": 1.8781,
        "gradient": "path",
        "steps": 1000,
    }
    assert benchmark.table([line]).splitlines()[-1] == "| nice | U1 | 1.878 | - ± - | - | - | path | 1,000 |"
