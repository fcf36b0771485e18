"""Finished cells are never done again, torn lines are none, and a cell belongs to one process at a time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cells as cells_module
from cells import Cells

KEY = ("table", "model", "seed")
CELL = {"table": "protein", "model": "nsf", "seed": 0}


def test_a_finished_cell_is_not_claimed_again(tmp_path: Path) -> None:
    cells = Cells(tmp_path / "cells.jsonl", KEY)
    with cells.claim(CELL) as ours:
        assert ours
        cells.add({**CELL, "test": 1.5})
    with Cells(tmp_path / "cells.jsonl", KEY).claim(CELL) as again:
        assert not again
    with cells.claim({**CELL, "seed": 1}) as other:
        assert other


def test_a_cell_that_was_begun_and_not_finished_is_claimed_again(tmp_path: Path) -> None:
    cells = Cells(tmp_path / "cells.jsonl", KEY)
    with cells.claim(CELL):
        pass
    with cells.claim(CELL) as ours:
        assert ours


def test_only_one_of_two_has_a_cell(tmp_path: Path) -> None:
    first, second = (Cells(tmp_path / "cells.jsonl", KEY) for _ in range(2))
    with first.claim(CELL) as ours, second.claim(CELL) as theirs:
        assert ours
        assert not theirs


def test_the_claim_of_a_process_that_was_killed_is_free(tmp_path: Path) -> None:
    path = tmp_path / "cells.jsonl"
    program = (
        "import os, signal, sys; from pathlib import Path; from cells import Cells\n"
        f"with Cells(Path({str(path)!r}), {KEY!r}).claim({CELL!r}) as ours:\n"
        "    print(ours, flush=True); sys.stdin.read()\n"
    )
    folder = Path(cells_module.__file__).parent
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        with Cells(path, KEY).claim(CELL) as ours:
            assert not ours
        other.kill()
    with Cells(path, KEY).claim(CELL) as ours:
        assert ours


def test_a_torn_line_is_no_cell_and_spoils_no_later_one(tmp_path: Path) -> None:
    cells = Cells(tmp_path / "cells.jsonl", KEY)
    cells.add({**CELL, "test": 1.0})
    with cells.path.open("a") as file:
        file.write('{"table": "kin40k", "mod')
    cells.add({**CELL, "seed": 1, "test": 2.0})
    assert [line["test"] for line in cells.lines()] == [1.0, 2.0]


def test_a_line_without_one_of_the_keys_is_another_cell(tmp_path: Path) -> None:
    cells = Cells(tmp_path / "cells.jsonl", KEY)
    cells.add({"table": "protein", "model": "nsf"})
    assert not cells.done(CELL)
