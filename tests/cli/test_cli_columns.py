"""`columns`: the kinds of a table's columns, on the command line."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from small_models import Run


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    rows = zip(rng.normal(size=100), rng.choice(["red", "blue"], 100), rng.uniform(0, 360, 100), strict=True)
    path = tmp_path / "table.csv"
    path.write_text("x,colour,angle,one\n" + "".join(f"{x},{word},{angle},1\n" for x, word, angle in rows))
    return path


def test_it_shows_the_kind_of_each_column(run: Run, table: Path) -> None:
    code, out, err = run("columns", table, "--kind", "angle=period:0:360")
    assert (code, err) == (0, "")
    lines = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert out.startswith("100 rows; 3 of 4 columns are modelled.\n")
    assert lines["x"].split()[1] == "real"
    assert lines["colour"].split()[1] == "category"
    assert lines["angle"].split()[1] == "periodic"
    assert lines["(one)"].split()[1:4] == ["constant", "always", "1"]
    assert max(map(len, out.splitlines())) <= 80


def test_json_is_the_plan_and_parquet_gives_the_same(run: Run, table: Path, tmp_path: Path) -> None:
    plan = json.loads(run("columns", table, "--json")[1])
    assert [column["name"] for column in plan["columns"]] == ["x", "colour", "angle", "one"]
    pyarrow.parquet.write_table(pyarrow.csv.read_csv(table), tmp_path / "table.parquet")
    assert json.loads(run("columns", tmp_path / "table.parquet", "--json")[1]) == plan


def test_notes_of_the_reader_are_said(run: Run, table: Path) -> None:
    table.write_text("1.5,oops\n" + "".join(f"{i}.5,{i * i}\n" for i in range(20)))
    code, _, err = run("columns", table)
    assert code == 0
    assert err.startswith("note: the first row is taken for the header, although 1.5 is a number")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--kind", "x=positve"], 2, "did you mean positive"),
        (["--kind", "colour=real"], 3, "column 'colour' has text"),
        (["--kind", "y=real"], 2, "there is no column 'y'"),
        (["--kind", "positive"], 2, "COLUMN=KIND expected"),
        (["--kind", "x=real", "--kind", "x=positive"], 2, "column 'x' has two kinds"),
        (["--kind", "x=positive"], 3, "column 'x' has the value -"),
    ],
)
def test_wrong_words_end_in_one_sentence(run: Run, table: Path, words: list[str], code: int, message: str) -> None:
    got, out, err = run("columns", table, *words)
    assert (got, out) == (code, "")
    assert message in err
    assert len(err.splitlines()) == 1


def test_a_missing_file(run: Run, tmp_path: Path) -> None:
    assert run("columns", tmp_path / "none.csv")[0] == 3


def test_columns_of_a_large_folder_are_guessed_from_a_part_and_hold_for_all(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "1.csv").write_text("word,x\n" + "".join(f"common,{i / 8}\n" for i in range(300)))
    (tmp_path / "2.csv").write_text("word,x\n" + "common,-1e6\nrare,2.5\n")
    monkeypatch.setattr("pushforward.estimators.file_samples.rows_in_memory", lambda columns: 60)
    code, out, err = run("columns", tmp_path)
    assert code == 0, err
    assert re.search(r"note: guessed from 6\d of 302 rows, and checked against all", err)
    assert "text of 2 labels" in out
