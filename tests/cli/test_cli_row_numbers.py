"""A column that only numbers the rows is left out by `fit`, said, and no trouble to the commands that come after."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_models import SMALL, Run

N = 60
VALUES = np.random.default_rng(1).normal(size=(N, 2))


def _table(path: Path, first: int = 0, index: bool = True, header: bool = True) -> Path:
    rows = [f"{first + i}," * index + f"{a},{b}" for i, (a, b) in enumerate(VALUES.tolist())]
    path.write_text("\n".join([*(["," * index + "mass,energy"] if header else []), *rows]) + "\n")
    return path


@pytest.mark.parametrize("header", [True, False])
def test_every_command_takes_such_a_table_with_and_without_its_index(run: Run, tmp_path: Path, header: bool) -> None:
    path, model = _table(tmp_path / "i.csv", header=header), tmp_path / "m"
    code, _, err = run("fit", path, "--out", model, *SMALL)
    assert code == 0, err
    assert "note: x0 of i.csv only numbers the rows and is ignored; name it with --columns" in err
    code, out, _ = run("info", model)
    columns = next(line for line in out.splitlines() if line.startswith("columns"))
    assert columns.split(maxsplit=1)[1] == ("mass, energy" if header else "x1, x2")
    assert "left out     x0: numbers of the rows" in out
    scores = []
    for name, first, index in (("i.csv", 0, True), ("later.csv", 500, True), ("plain.csv", 0, False)):
        table = _table(tmp_path / name, first, index, header)
        scores.append(run("score", model, table)[1])
        for words in (("check", model, table), ("report", model, table), ("encode", model, table)):
            code, _, err = run(*words)
            assert code in (0, 5), (words, err)
    assert scores[0].startswith("row,value")
    assert scores[0] == scores[1] == scores[2]
    assert run("score", model, path, "--part", "test")[0] == 0


def test_a_column_that_is_named_is_modelled(run: Run, tmp_path: Path) -> None:
    path, model = _table(tmp_path / "i.csv"), tmp_path / "m"
    code, _, err = run("fit", path, "--columns", "x0,mass", "--out", model, *SMALL)
    assert (code, "ignored" in err) == (0, False)
    assert run("score", model, path)[0] == 0


def test_latents_are_never_taken_for_numbers_of_rows(run: Run, tmp_path: Path) -> None:
    model = tmp_path / "m"
    assert run("fit", _table(tmp_path / "i.csv"), "--out", model, *SMALL)[0] == 0
    np.save(tmp_path / "z.npy", np.column_stack([np.arange(12.0), np.zeros(12)]))
    assert run("decode", model, tmp_path / "z.npy")[0] == 0


def test_a_model_of_all_columns_takes_a_table_in_which_one_counts(run: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "train.npy", VALUES)
    np.save(tmp_path / "new.npy", np.column_stack([np.arange(12.0), np.zeros(12)]))
    assert run("fit", tmp_path / "train.npy", "--out", tmp_path / "m", *SMALL)[0] == 0
    code, out, err = run("score", tmp_path / "m", tmp_path / "new.npy")
    assert code == 0, err
    assert len(out.splitlines()) == 13
