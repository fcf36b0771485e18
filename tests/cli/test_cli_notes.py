"""The warnings of the package are notes of the commands: a line each, told once, with the rows of the whole file."""

from __future__ import annotations

from pathlib import Path

import pyarrow
import pytest
from small_models import Run
from table_models import QUICK, shops, write_shops


@pytest.fixture
def with_a_new_town(tmp_path: Path) -> Path:
    """Forty shops, two of them in a town that no training row has."""
    table = shops(40)
    towns = table["town"].to_pylist()
    towns[5] = towns[25] = "Rome"
    return write_shops(tmp_path / "new.csv", table.set_column(3, "town", [towns]))


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, rows in (("predictions._ROWS", 10), ("predictions._DRAWS", 1_000), ("imputation._BLOCK", 10)):
        monkeypatch.setattr(f"pushforward.cli.table_{name}", rows)
    monkeypatch.setattr("pushforward.cli.table_sampling._GIVEN_BLOCK", 10)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("density", ("predict", "FILE", "--target", "income", "--draws", "50", "--event", "income > 3")),
        ("regressor", ("predict", "FILE", "--interval", "0.9", "--event", "income > 3", "--draws", "50")),
        ("density", ("impute", "FILE")),
        ("density", ("sample", "-n", "15", "--given", "FILE")),
        ("regressor", ("sample", "-n", "15", "--given", "FILE")),
    ],
)
def test_a_new_label_is_unknown_and_told_once_with_its_rows(
    run: Run, tmp_path: Path, with_a_new_town: Path, model: str, words: tuple[str, ...], request: pytest.FixtureRequest
) -> None:
    command, *rest = (with_a_new_town if word == "FILE" else word for word in words)
    code, out, err = run(command, request.getfixturevalue(model), *rest)
    assert code == 0, err
    assert len(out.splitlines()) > 40
    assert [line for line in err.splitlines() if "Rome" in line] == [
        "note: 2 rows have a value unlike those of all training rows, which is taken as unknown (column 'town', row 5: "
        "one of Lyon, Nice expected, got Rome)"
    ]
    assert ".py" not in err


def test_a_value_between_two_of_a_grid_is_told_in_one_line(run: Run, density: Path) -> None:
    code, out, err = run("sample", density, "-n", 25, "--given", "staff=2.4")
    assert code == 0, err
    assert {line.split(",")[2] for line in out.splitlines()[1:]} == {"2"}
    assert err.splitlines() == [
        "note: 1 row has a value unlike those of all training rows, which is taken as the nearest usual one "
        "(column 'staff', row 0: a whole number from 0 expected, got 2.4, 2 is used)"
    ]


def test_a_new_label_in_a_word_is_refused_like_other_words(run: Run, density: Path, regressor: Path) -> None:
    assert run("sample", density, "--given", "town=Rome")[0] == 2
    code, _, err = run("sample", regressor, "-n", 2, "--given", "town=Rome,size=50,open=true,since=2024-05-06,weight=1")
    assert (code, err.count("note: 1 row has a value")) == (0, 1), err


def test_an_event_of_a_regressor_with_a_new_label_is_refused(run: Run, regressor: Path, shops_csv: Path) -> None:
    code, _, err = run("predict", regressor, shops_csv, "--event", "town == 'Rome'")
    assert (code, "column 'town' has no label 'Rome'; there are Lyon, Nice" in err) == (2, True), err


def test_members_that_are_left_out_are_told_once(
    run: Run, tmp_path: Path, shops_csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pushforward.estimators.models.fit_table._LONGEST_CHAIN", 1)
    code, out, err = run("fit", shops_csv, "--columns", "size,income,staff", "--out", tmp_path / "m", *QUICK)
    assert code == 0, err
    assert f"{out}{err}".count("columns are many") == 1
    assert "note: 3 columns are many: the nets" in out


def test_a_mistake_in_a_column_is_told_before_the_fit(run: Run, tmp_path: Path) -> None:
    table = shops(60).append_column("code", pyarrow.array([f"{i % 7},5" for i in range(60)]))
    code, out, err = run("fit", write_shops(tmp_path / "a.csv", table), "--out", tmp_path / "m", *QUICK)
    assert code == 0, err
    assert f"{out}{err}".count("note: column 'code': the text looks like numbers") == 1
    assert ".py" not in err


def test_missing_columns_and_files_are_told_with_their_remedy(
    run: Run, tmp_path: Path, table_model: Path, regressor: Path
) -> None:
    code, _, err = run("sample", regressor, "--given", "town=Lyon,size=3")
    assert (code, "values of all columns are needed, but open, since, weight have none" in err) == (2, True), err
    code, _, err = run("sample", regressor, "--given", "town")
    assert (code, "--given: COLUMN=VALUE or a file expected, but there is no file 'town'" in err) == (2, True), err
    features = write_shops(tmp_path / "x.csv", shops(20).drop_columns(["income", "staff"]))
    code, _, err = run("score", regressor, features)
    assert (code, "but income, staff are missing; `predict` needs none" in err) == (3, True), err
    code, _, err = run("predict", table_model, features, "--target", "area")
    assert (code, "`score`, `sample` and `report` take it" in err) == (4, True), err
