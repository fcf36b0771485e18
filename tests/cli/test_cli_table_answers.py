"""`predict`, `impute`, `info` and `report` for the model of a table: every option, and what is refused."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.csv
import pyarrow.parquet
import pytest
from small_models import Run
from table_models import QUICK, shops, write_shops

import pushforward
from pushforward import storage
from pushforward.estimators import density as density_module
from pushforward.estimators.table_estimator import record_marginals


def read(text: str) -> pyarrow.Table:
    return pyarrow.csv.read_csv(pyarrow.BufferReader(text.encode()))


def test_a_regressor_predicts_means_quantiles_intervals_and_events(
    run: Run, regressor: Path, shops_csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pushforward.cli.table_predictions._ROWS", 100)
    words = ("--quantiles", "0.1,0.5", "--interval", "0.8", "--event", "income > 2000 and town == 'Lyon'")
    code, out, err = run("predict", regressor, shops_csv, *words, "--draws", 50)
    assert code == 0, err
    table = read(out)
    of_income = ["income_mean", "income_q0.1", "income_q0.5", "income_low", "income_high"]
    of_staff = [name.replace("income", "staff") for name in of_income]
    assert table.column_names == ["row", *of_income, *of_staff, "probability", "probability_error"]
    assert table["row"].to_pylist() == list(range(240))
    np.testing.assert_allclose(table["income_low"], table["income_q0.1"])
    nice = [
        p
        for p, town in zip(table["probability"].to_pylist(), shops()["town"].to_pylist(), strict=True)
        if town == "Nice"
    ]
    assert set(nice) == {0.0}


def test_a_density_predicts_any_column(run: Run, tmp_path: Path, density: Path, shops_csv: Path) -> None:
    words = ("--quantiles", "0.5", "--interval", "0.9", "--draws", 100, "--event", "income > 1e9")
    code, out, err = run("predict", density, shops_csv, "--target", "income", *words)
    assert code == 0, err
    table = read(out)
    assert max(table["probability"].to_pylist()) == 0
    truth = shops()["income"].to_numpy()
    inside = (table["income_low"].to_numpy() <= truth) & (truth <= table["income_high"].to_numpy())
    assert inside.mean() > 0.75
    some = write_shops(tmp_path / "some.csv", pyarrow.table({"size": [20.0, 200.0]}))
    code, out, err = run("predict", density, some, "--target", "town", "--out", tmp_path / "p.parquet")
    assert code == 0
    assert f"wrote 2 rows to {tmp_path / 'p.parquet'}" in err
    table = pyarrow.parquet.read_table(tmp_path / "p.parquet")
    assert table.column_names == ["row", "town_mode", "P(town=Lyon)", "P(town=Nice)"]
    assert table["P(town=Lyon)"][1].as_py() > table["P(town=Lyon)"][0].as_py()


def test_dates_in_text_are_predicted_as_dates(run: Run, tmp_path: Path, density: Path, shops_csv: Path) -> None:
    out = tmp_path / "p.csv"
    words = ("--target", "since", "--quantiles", "0.1,0.9", "--draws", "20", "--out", out)
    code, _, err = run("predict", density, shops_csv, *words)
    assert code == 0, err
    table = pyarrow.csv.read_csv(out).slice(0, 20)
    low, mean, high = (table[f"since_{name}"].to_pylist() for name in ("q0.1", "mean", "q0.9"))
    assert all(first < middle < last for first, middle, last in zip(low, mean, high, strict=True))
    assert {low[0].year, high[0].year} <= {2023, 2024, 2025, 2026}
    code, _, err = run("sample", density, "-n", "2", "--given", "since=soon")
    assert code == 2
    assert "--given: column 'since': text that is no date, 'soon'; write YYYY-MM-DD" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "--target COLUMN is missing"),
        (("--target", "twn"), "there is no column 'twn'; did you mean town"),
        (("--target", "town", "--quantiles", "0.5"), "column 'town' holds labels, which have no order"),
        (("--target", "income", "--quantiles", "5"), "levels between 0 and 1, such as 0.05,0.5,0.95, expected, got 5"),
        (("--target", "income", "--quantiles", "a"), "levels between 0 and 1, such as 0.05,0.5,0.95, expected, got a"),
        (("--target", "income", "--interval", "90"), "a coverage between 0 and 1 expected, got 90"),
        (("--target", "income", "--draws", "0"), "draws must be at least 1"),
        (("--target", "income", "--event", "incom > 3"), "there is no column 'incom'; did you mean 'income'"),
        (("--target", "income", "--event", "income >"), "cannot be read"),
        (
            ("--target", "income", "--event", "town == 'Rome'"),
            "column 'town' has no label 'Rome'; there are Lyon, Nice",
        ),
    ],
)
def test_predictions_are_refused_in_one_sentence(
    run: Run, density: Path, shops_csv: Path, words: tuple[str, ...], said: str
) -> None:
    code, _, err = run("predict", density, shops_csv, *words)
    assert code in (2, 3)
    assert said.replace("'income'", "income") in err.replace("'income'", "income")
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize("words", [("--target", "twn"), ("--target", "income", "--event", "incom > 3")])
def test_an_unknown_column_in_an_option_is_a_fault_of_the_option(
    run: Run, density: Path, shops_csv: Path, words: tuple[str, ...]
) -> None:
    code, _, err = run("predict", density, shops_csv, *words)
    assert code == 2
    assert err.strip().endswith("?")


def test_a_regressor_has_its_own_targets(run: Run, regressor: Path, shops_csv: Path) -> None:
    code, _, err = run("predict", regressor, shops_csv, "--target", "size")
    assert code == 2
    assert "this FlowRegressor predicts income, staff" in err


def test_gaps_are_filled_and_other_cells_stay(run: Run, tmp_path: Path, density: Path) -> None:
    table = shops(40).append_column("remark", pyarrow.array([f"r{i}" for i in range(40)]))
    file = write_shops(tmp_path / "gaps.csv", table)
    gaps = table["size"].null_count
    code, _, err = run("impute", density, file, "--out", tmp_path / "whole.parquet")
    assert code == 0, err
    assert f"40 rows: {gaps} gaps filled" in err
    whole = pyarrow.parquet.read_table(tmp_path / "whole.parquet")
    assert whole.column_names == table.column_names
    assert whole["size"].null_count == 0
    assert whole["remark"].to_pylist() == table["remark"].to_pylist()
    there = [i for i, size in enumerate(table["size"].to_pylist()) if size is not None]
    assert whole["size"].take(there).to_pylist() == table["size"].take(there).to_pylist()
    assert run("impute", density, file, "--draws", 3, "--out", tmp_path / "three.parquet")[0] == 0
    three = pyarrow.parquet.read_table(tmp_path / "three.parquet")
    assert three.column_names[:2] == ["row", "draw"]
    assert len(three) == 120


def test_a_column_without_any_value_is_filled(run: Run, tmp_path: Path, density: Path) -> None:
    rows = shops(10)
    file = write_shops(tmp_path / "empty.csv", rows.set_column(0, "size", pyarrow.nulls(10, pyarrow.float64())))
    code, out, err = run("impute", density, file)
    assert code == 0, err
    assert min(read(out)["size"].to_pylist()) > 0


def test_imputation_is_refused_in_one_sentence(run: Run, tmp_path: Path, density: Path, regressor: Path) -> None:
    file = write_shops(tmp_path / "a.csv", shops(10).append_column("draw", pyarrow.array([1] * 10)))
    assert "holds a FlowRegressor" in run("impute", regressor, file)[2]
    assert "draws must be at least 1" in run("impute", density, file, "--draws", 0)[2]
    assert "the table has a column 'draw' of its own" in run("impute", density, file, "--draws", 2)[2]


def test_info_shows_the_plan_the_members_and_the_time(run: Run, density: Path, regressor: Path) -> None:
    code, out, _ = run("info", density)
    assert code == 0
    lines = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert "FlowDensity" in lines["model"]
    assert "mixture" in lines["members"]
    assert "24 rows, mean log-density" in lines["held-out"]
    assert {"data", "time", "files", "town", "(country)"} <= set(lines)
    assert "targets:" in run("info", regressor)[1]
    assert json.loads(run("info", density, "--json")[1])["kind"] == "table"


def test_the_report_names_the_columns_that_drifted(
    run: Run, tmp_path: Path, density: Path, shops_csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    averages: list[int] = []
    averaged = density_module.averaged_scores

    def counting(parts: Any, model: Any) -> Any:
        averages.append(parts[0][1].rows)
        return averaged(parts, model)

    monkeypatch.setattr(density_module, "averaged_scores", counting)
    code, out, err = run("report", density, shops_csv, "--out", tmp_path / "r")
    assert code == 0, err
    assert averages == [240]  # scored once
    assert re.search(r"scores \(240 rows\): mean log-density -[\d.]+ \+- [\d.]+ nats a row \(discrete part -", out)
    assert "no column drifted: none of 6 differs" in out
    assert re.search(r"^numerics: good$", out, re.MULTILINE)
    assert "<h2>Drift</h2>" in (tmp_path / "r" / "report.html").read_text()
    table = shops()
    towns = ["Lyon" if town == "Lyon" or i % 2 else "Nice" for i, town in enumerate(table["town"].to_pylist())]
    table = table.set_column(3, "town", [towns])
    table = table.set_column(1, "income", pyarrow.array(table["income"].to_numpy() * 1.5))
    code, out, _ = run("report", density, write_shops(tmp_path / "new.csv", table), "--out", tmp_path / "r")
    assert code == 0
    assert "2 of 6 columns drifted" in out
    assert re.search(r"income +by up to 0\.\d+: median [\d.]+ -> median", out)
    assert re.search(r"town +by up to 0\.\d+: (Lyon|Nice) [\d.]+% -> (Lyon|Nice)", out)
    numbers = json.loads((tmp_path / "r" / "report.json").read_text())
    assert [change["column"] for change in numbers["columns"] if change["p"] < 0.01] == ["income", "town"]


@pytest.mark.parametrize("words", [("score",), ("predict", "--target", "town"), ("impute",), ("report",)])
def test_refused_cells_are_told_with_the_name_of_the_file(
    run: Run, tmp_path: Path, density: Path, words: tuple[str, ...]
) -> None:
    table = shops(3)
    wrong = write_shops(tmp_path / "wrong.csv", table.set_column(1, "income", [["much", "more", "most"]]))
    code, _, err = run(words[0], density, wrong, *words[1:])
    assert code == 3
    assert f"{wrong}: " in err
    assert "column 'income'" in err


def test_scores_and_reports_on_the_file_of_the_fit_tell_that_its_rows_trained_the_model(
    run: Run, tmp_path: Path, density: Path, shops_csv: Path
) -> None:
    said = "note: these are the data of the fit, and 216 of their rows trained the model"
    copied = shutil.copy(shops_csv, tmp_path / "copy.csv")
    for command, file in (("score", copied), ("report", shops_csv)):
        code, _, err = run(command, density, file, "--out", tmp_path / ("r.html" if command == "report" else "s.csv"))
        assert code == 0, err
        assert said in err
    page = (tmp_path / "r.html").read_text()
    assert "216 of their rows trained the model" in page
    assert "240 rows of shops.csv" in page
    others = write_shops(tmp_path / "shops.csv", shops(239))
    assert "trained the model" not in run("score", density, others, "--out", tmp_path / "s.csv", "--force")[2]


def test_the_report_of_a_regressor_and_its_refusals(run: Run, tmp_path: Path, regressor: Path, shops_csv: Path) -> None:
    of_fit = b"of the fit"
    storage.add_file(regressor, "report.html", of_fit)
    code, out, err = run("report", regressor, shops_csv)
    assert code == 0, err
    assert re.search(r"scores \(240 rows\): mean log-density .* nats a row, of income", out), out
    assert re.search(r"the 90% interval of income holds [\d.]+% of them", out), out
    assert "--test does not apply to the model of a table" in run("report", regressor, shops_csv, "--test", "a")[2]
    assert (regressor / "report.html").read_bytes() == of_fit
    assert json.loads((regressor / "report-shops.json").read_text())["predictions"][0]["name"] == "income"
    old = pushforward.FlowRegressor.load(regressor)
    record_marginals(old, ())
    old.save(tmp_path / "m")
    assert "has no record of its training columns" in run("report", tmp_path / "m", shops_csv)[2]


def test_the_verdict_is_printed_where_enough_rows_are_held_out(run: Run, tmp_path: Path, shops_csv: Path) -> None:
    others = write_shops(tmp_path / "others.csv", shops(100))
    for words in (("--minutes", "0.01"), ("--target", "income", *QUICK)):
        code, out, err = run("fit", shops_csv, "--test", others, "--out", tmp_path / "m", "--force", *words)
        assert code == 0, err
        assert ("report:" in out) is ("--no-report" not in words)
        assert re.search(r"^fit: (good|use with care|do not use)$", out, re.MULTILINE)
        assert re.search(r"^fit +(good|use with care|do not use)", run("info", tmp_path / "m")[1], re.MULTILINE)


@pytest.mark.parametrize("words", [("score", "--explain"), ("predict", "--target", "town")])
def test_answers_for_many_rows_show_their_progress(
    run: Run, tmp_path: Path, density: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setattr("pushforward.cli.progress._PLAIN_SECONDS", 0.0)
    file = write_shops(tmp_path / "many.parquet", pyarrow.concat_tables([shops()] * 24))
    more = ("--draws", 40) if words[0] == "predict" else ()
    code, _, err = run(words[0], density, file, *words[1:], *more, "--out", tmp_path / "out.parquet")
    assert code == 0, err
    assert "ing: 5,000\n" in err
    assert "ing: 5,760\n" in err


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_cells_that_cannot_be_are_told_with_the_rows_of_the_file(
    run: Run, tmp_path: Path, density: Path, regressor: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setattr("pushforward.cli.table_predictions._DRAWS", 1000)
    monkeypatch.setattr("pushforward.cli.table_predictions._ROWS", 100)
    table = shops()
    staff = table["staff"].to_numpy().astype(float)
    staff[[3, 130]] += 0.3
    table = table.set_column(table.column_names.index("staff"), "staff", pyarrow.array(staff))
    file = write_shops(tmp_path / f"odd{ending}", table)
    code, _, err = run("predict", density, file, "--target", "town", "--draws", 10, "--out", tmp_path / "p.csv")
    assert code == 0, err
    cells = [line for line in err.splitlines() if line.startswith("note: ") and "'staff'" in line]
    assert len(cells) == 1, err
    assert cells[0].startswith("note: 2 rows have a value unlike those of all training rows")
    assert re.search(rf"column 'staff', row 3: .* got {staff[3]}, {staff[3] - 0.3:.0f} is used", cells[0])
    given = tmp_path / f"given{ending}"
    write_shops(given, table.select(["staff"]).slice(3, 1))
    code, _, err = run("sample", density, "-n", 4, "--given", given, "--out", tmp_path / "s.csv")
    assert code == 0, err
    assert err.count("'staff'") == 1
