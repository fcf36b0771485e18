"""`fit`, `score` and `sample` for the model of a table: every option, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.csv
import pyarrow.parquet
import pytest
from small_models import Run
from table_models import QUICK, shops, write_shops

import pushforward
from pushforward.errors import ModelError


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet"])
def test_a_table_in_a_file_gets_a_density_of_its_columns(run: Run, tmp_path: Path, ending: str) -> None:
    file = write_shops(tmp_path / f"shops.{ending}")
    code, out, err = run("fit", file, "--out", tmp_path / "m", "--kind", "size=positive", "--seed", 3, *QUICK)
    assert code == 0, err
    assert "model: FlowDensity" in err
    assert "(country)" in out
    assert "held-out (24 rows): mean log-density" in out
    model = pushforward.FlowDensity.load(tmp_path / "m")
    assert (model.kinds, model.random_state, model.max_seconds) == (
        {"size": "positive"},
        3,
        pytest.approx(60 * float(QUICK[1])),
    )
    facts = json.loads((tmp_path / "m" / "fit.json").read_text())
    assert facts["held_out"]["rows"] == 24
    assert facts["held_out"]["mean"] == pytest.approx(facts["held_out"]["discrete"] + facts["held_out"]["continuous"])


def test_columns_limit_test_and_the_run_file_apply_to_a_table(run: Run, tmp_path: Path, shops_csv: Path) -> None:
    others = write_shops(tmp_path / "others.csv", shops(30))
    file = tmp_path / "run.toml"
    file.write_text(
        f'minutes = {QUICK[1]}\nlimit = 100\ntest = "{others}"\nweight = "weight"\n[kind]\nstaff = "integer"\n'
    )
    words = ("--columns", "income,staff", "--threads", 1, "--no-report")
    code, _out, err = run("fit", shops_csv, "--config", file, "--out", tmp_path / "m", *words)
    assert code == 0, err
    assert "training rows: 100, held-out rows: 30" in err
    plan = pushforward.FlowDensity.load(tmp_path / "m").plan_
    assert plan.names == ("income", "staff")
    assert [column.name for column in plan.left_out] == ["weight"]


def test_a_random_part_of_a_large_folder_is_fitted_and_columns_that_number_its_rows_are_left_out(
    run: Run, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    words = np.where(np.arange(3000) == 2100, "rare", "common")
    table = pyarrow.table({"order": np.arange(3000) + 40, "x": rng.normal(size=3000), "word": words})
    (tmp_path / "parts").mkdir()
    for part in range(3):
        pyarrow.parquet.write_table(table.slice(1000 * part, 1000), tmp_path / "parts" / f"{part}.parquet")
    words_given = ("--max-rows", 1500, "--out", tmp_path / "m", *QUICK)
    code, out, err = run("fit", tmp_path / "parts", *words_given)
    assert code == 0, err
    assert "held-out rows: 150" in err
    assert "of 2,850 rows take no part in the fit" in out
    model = pushforward.FlowDensity.load(tmp_path / "m")
    assert [(c.name, c.kind.label, c.kind.start) for c in model.plan_.left_out] == [("order", "index", 40)]
    assert model.score_samples({"x": [0.0], "word": ["rare"]})[0] > -20
    code, _, err = run("score", tmp_path / "m", tmp_path / "parts", "--out", tmp_path / "s.parquet")
    assert code == 0, err
    assert len(pyarrow.parquet.read_table(tmp_path / "s.parquet")) == 3000


def test_a_target_gets_its_distribution_given_the_other_columns(run: Run, tmp_path: Path, shops_csv: Path) -> None:
    out = tmp_path / "m"
    code, said, err = run("fit", shops_csv, "--target", "income", "--columns", "size,town", "--out", out, *QUICK)
    assert code == 0, err
    assert "model: FlowRegressor, because --target is given" in err
    assert said.startswith("targets:\n")
    assert "income" in said.split("\n\n")[1]
    assert "the 90% interval of income holds" in said
    assert pushforward.FlowRegressor.load(out).plan_.names == ("size", "town")


def test_ids_go_on_from_one_block_of_samples_to_the_next(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pyarrow.table({"id": range(1, 61), "x": np.random.default_rng(0).normal(size=60), "y": ["a", "b"] * 30})
    assert run("fit", write_shops(tmp_path / "ids.csv", table), "--out", tmp_path / "m", *QUICK)[0] == 0
    monkeypatch.setattr("pushforward.cli.table_sampling._BLOCK", 7)
    monkeypatch.setattr("pushforward.cli.table_sampling._GIVEN_BLOCK", 7)
    for words in ((), ("--given", "y=a")):
        out = tmp_path / f"samples{len(words)}.csv"
        assert run("sample", tmp_path / "m", "-n", 20, "--out", out, *words)[0] == 0
        assert pyarrow.csv.read_csv(out).column("id").to_pylist() == list(range(1, 21))


def test_rows_with_a_rare_label_train(run: Run, tmp_path: Path) -> None:
    towns = [*(["Lyon"] * 50), *(f"village {i}" for i in range(50))]
    numbers = np.random.default_rng(0).normal(size=100)
    file = write_shops(tmp_path / "rare.csv", pyarrow.table({"x": numbers, "town": towns}))
    code, out, err = run("fit", file, "--kind", "town=category", "--out", tmp_path / "m", *QUICK)
    assert code == 0, err
    assert "have content that no training row has, and train too" in err
    assert "density of 0" not in out
    assert run("score", tmp_path / "m", file)[2].startswith("100 rows: mean log-density")


def test_few_rows_are_not_held_out(run: Run, tmp_path: Path) -> None:
    file = write_shops(tmp_path / "few.csv", shops(5))
    code, out, _ = run("fit", file, "--out", tmp_path / "m", *QUICK)
    assert code == 0
    assert "held-out: none of fewer than 20 rows" in out
    assert "fit: not judged, because no held-out row is there" in out
    file = write_shops(tmp_path / "few.csv", shops(30))
    code, out, err = run("fit", file, "--out", tmp_path / "m", "--force", *QUICK[:2])
    assert code == 0, err
    assert re.search(r"^fit: (use with care|do not use)\n(  - .*\n)*  - only 3 held-out rows: a fault could", out, re.M)
    assert re.search(r"^numerics: good$", out, re.M)
    assert (tmp_path / "m" / "report.html").exists()


@pytest.mark.parametrize("target", [(), ("--target", "income")])
def test_one_held_out_row_judges_a_fit_with_care(
    run: Run, tmp_path: Path, shops_csv: Path, target: tuple[str, ...]
) -> None:
    words = ("--columns", "size,income,town", *target, *QUICK[:2], "--force", "--out", tmp_path / "m")
    one = write_shops(tmp_path / "one.csv", shops(240).slice(3, 1))
    code, out, err = run("fit", shops_csv, "--test", one, *words)
    assert code == 0, err
    assert "use with care\n" in out
    assert "  - only 1 held-out row: a fault could stay unseen" in out
    rows = pyarrow.table({"size": [50.0], "income": [300.0], "town": ["Rome"]})
    if not target:
        code, out, err = run("fit", shops_csv, "--test", write_shops(tmp_path / "no.csv", rows), *words)
        assert code == 0, err
        assert "fit: not judged, because no held-out row has a density above 0" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--kind", "size=positive", "--steps", "5"), "--kind is an option of the model of a table, --steps one of a"),
        (("--weight", "size", "--flow", "nsf"), "--weight is an option of the model of a table, --flow one of a"),
        (("--target", "income", "--flow", "nsf"), "--target is an option of the model of a table, --flow one of a"),
        (("--target", "incom"), "there is no column 'incom'; did you mean income"),
        (("--weight", "wait"), "there is no column 'wait'"),
        (("--kind", "siz=real"), "there is no column 'siz'; did you mean size"),
        (("--kind", "size=rael"), "unknown kind 'rael'; did you mean real"),
        (("--kind", "size"), "COLUMN=KIND expected"),
        (("--columns", "size,nothing"), "there is no column 'nothing'"),
        (
            ("--target", "town"),
            "--target: column 'town': a number in each row expected, got string; a FlowDensity, which",
        ),
        (("--target", "town"), "or fit without --target and ask the model with `predict --target COLUMN`"),
        (("--target", "size"), "--target: column 'size': a number in each row expected, got a gap in row "),
        (("--target", "none"), "--target: column 'none' has no values; choose another"),
        (("--target", "income", "--columns", "income"), "no columns are left to predict income from"),
        (("--weight", "weight", "--kind", "weight=real"), "column 'weight' has two kinds, real and weight"),
        (("--weight", "income", "--target", "income"), "cannot be both --weight and --target"),
        (("--minutes", "0"), "--minutes: a number above 0 expected, got 0"),
    ],
)
def test_options_that_do_not_fit_a_table_are_one_sentence(
    run: Run, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    file = write_shops(tmp_path / "shops.csv", shops().append_column("none", pyarrow.nulls(240, pyarrow.float64())))
    code, out, err = run("fit", file, "--out", tmp_path / "m", *words)
    assert code in (2, 3)
    assert said in err
    assert not out  # before the plan
    assert len(err.split("pushforward: ")[1].strip().splitlines()) == 1
    assert not (tmp_path / "m").exists()


def test_options_of_tables_need_a_table(run: Run, tmp_path: Path) -> None:
    code, _, err = run("fit", "two-moons", "--target", "x", "--out", tmp_path / "m")
    assert code == 2
    assert "--target: a table in a file expected" in err


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_scores_are_those_of_the_estimator(
    run: Run, tmp_path: Path, density: Path, shops_csv: Path, ending: str
) -> None:
    out = tmp_path / f"s.{ending}"
    code, _, err = run("score", density, shops_csv, "--explain", "--out", out)
    assert code == 0, err
    assert "240 rows: mean log-density" in err
    if ending == "jsonl":
        names = list(json.loads(out.read_text().splitlines()[0]))
    else:
        table = pyarrow.csv.read_csv(out) if ending == "csv" else pyarrow.parquet.read_table(out)
        names = table.column_names
        scores = pushforward.FlowDensity.load(density).score_samples(pyarrow.csv.read_csv(shops_csv))
        np.testing.assert_allclose(table["log_density"], scores, rtol=1e-6)
        assert set(table["lowest_column"].to_pylist()) <= {"size", "income", "staff", "town", "open", "since"}
    assert names == ["row", "discrete", "continuous", "log_density", "lowest_column", "contribution"]


def test_blocks_do_not_change_scores(
    run: Run, tmp_path: Path, density: Path, shops_csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("score", density, shops_csv, "--out", tmp_path / "whole.parquet")[0] == 0
    monkeypatch.setattr("pushforward.cli.table_scoring._BLOCK", 70)
    code, _, err = run("score", density, shops_csv, "--out", tmp_path / "blocks.parquet")
    assert code == 0
    weighted = pushforward.FlowDensity.load(density).score(pyarrow.csv.read_csv(shops_csv))
    assert float(re.findall(r"mean log-density (\S+)", err)[0]) == pytest.approx(weighted, abs=2e-4)
    whole, blocks = (pyarrow.parquet.read_table(tmp_path / f"{name}.parquet") for name in ("whole", "blocks"))
    assert whole["row"].to_pylist() == blocks["row"].to_pylist() == list(range(240))
    np.testing.assert_allclose(whole["log_density"], blocks["log_density"], rtol=1e-4)


def test_rows_that_cannot_be_have_no_density_and_the_first_is_named(run: Run, tmp_path: Path, density: Path) -> None:
    table = shops(30)
    towns = ["Paris" if i == 4 else town for i, town in enumerate(table["town"].to_pylist())]
    file = write_shops(tmp_path / "new.csv", table.set_column(3, "town", [towns]))
    code, out, err = run("score", density, file, "--explain")
    assert code == 0, err
    assert out.splitlines()[5].split(",")[3:] == ["-inf", "town", "-inf"]
    assert "1 of 30 rows have a density of 0" in err
    assert "column 'town', row 4" in err
    assert "'Paris'" in err


def test_a_missing_column_is_an_error_or_integrated_out(run: Run, tmp_path: Path, density: Path) -> None:
    file = write_shops(tmp_path / "less.csv", shops(30).drop_columns(["town", "since"]))
    code, _, err = run("score", density, file)
    assert code == 3
    assert "there is no column 'town'" in err
    code, out, _ = run("score", density, file, "--marginal")
    assert code == 0
    assert len(out.splitlines()) == 31


def test_a_regressor_scores_its_targets(run: Run, regressor: Path, shops_csv: Path) -> None:
    code, out, err = run("score", regressor, shops_csv)
    assert code == 0, err
    assert out.splitlines()[0] == "row,log_density"
    for word in ("--explain", "--marginal"):
        code, _, err = run("score", regressor, shops_csv, word)
        assert code == 2
        assert f"{word} is for a FlowDensity" in err


@pytest.mark.parametrize(
    "words",
    [
        ("--unit", "nats"),
        ("--samples", "3"),
        ("--probes", "2"),
        ("--part", "test"),
        ("--strict",),
        ("--columns", "size"),
        ("--context", "size"),
        ("--data-dir", "."),
    ],
)
def test_options_of_plain_flows_are_refused_for_scores(
    run: Run, density: Path, shops_csv: Path, words: tuple[str, ...]
) -> None:
    code, _, err = run("score", density, shops_csv, *words)
    assert code == 2
    assert f"{words[0]} does not apply to the model of a table" in err


def test_samples_have_the_columns_types_and_labels_of_the_table(run: Run, tmp_path: Path, density: Path) -> None:
    out = tmp_path / "drawn.parquet"
    assert run("sample", density, "-n", 300, "--out", out)[0] == 0
    drawn = pyarrow.parquet.read_table(out)
    assert drawn.column_names == [name for name in shops().column_names if name != "weight"]
    assert drawn.schema.field("staff").type == pyarrow.int64()
    assert drawn.schema.field("open").type == pyarrow.bool_()
    assert set(drawn["town"].to_pylist()) == {"Lyon", "Nice"}
    assert set(drawn["country"].to_pylist()) == {"FR"}
    assert all(re.fullmatch(r"20\d\d-\d\d-\d\d", day) for day in drawn["since"].to_pylist())
    assert 0 < drawn["size"].null_count < 90
    assert run("sample", density, "-n", 300, "--complete", "--out", out, "--force")[0] == 0
    assert pyarrow.parquet.read_table(out)["size"].null_count == 0


def test_samples_in_csv_read_as_the_table_did(run: Run, tmp_path: Path, density: Path) -> None:
    code, out, _ = run("sample", density, "-n", 50, "--seed", 4)
    assert code == 0
    (tmp_path / "drawn.csv").write_text(out)
    code, _, err = run("score", density, tmp_path / "drawn.csv", "--out", tmp_path / "s.csv")
    assert code == 0
    assert "50 rows: mean log-density" in err
    assert run("sample", density, "-n", 50, "--seed", 4)[1] == out
    assert run("sample", density, "-n", 50, "--seed", 5)[1] != out


def test_samples_given_columns_have_their_values(run: Run, tmp_path: Path, density: Path) -> None:
    words = ("--given", "town=Lyon,open=true", "--given", "since=2024-05-06", "--given", "staff=2", "--given", "size=")
    code, out, err = run("sample", density, "-n", 5, *words)
    assert code == 0, err
    rows = [line.split(",") for line in out.splitlines()[1:]]
    assert len(rows) == 5
    assert all((row[0], row[2:6]) == ("", ["2", "Lyon", "true", "2024-05-06"]) for row in rows)
    given = write_shops(tmp_path / "given.csv", pyarrow.table({"town": ["Nice", "Lyon"], "other": [1, 2]}))
    code, out, _ = run("sample", density, "-n", 2, "--given", given)
    assert code == 0
    assert [line.split(",")[3] for line in out.splitlines()[1:]] == ["Nice", "Nice", "Lyon", "Lyon"]


def test_a_regressor_samples_its_targets(run: Run, regressor: Path, shops_csv: Path) -> None:
    code, out, err = run("sample", regressor, "-n", 2, "--given", shops_csv)
    assert code == 0, err
    assert len(out.splitlines()) == 481
    assert out.splitlines()[0].endswith("income,staff")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--given", "town=Paris"), "--given: column 'town' expects one of Lyon, Nice, got Paris"),
        (("--given", "town=Lyons"), "expects one of Lyon, Nice, got Lyons; did you mean Lyon?"),
        (("--given", "twn=Lyon"), "there is no column 'twn'; did you mean town"),
        (("--given", "country=FR"), "column 'country' is no part of the density"),
        (("--given", "staff=many"), "column 'staff': a value of type int64 expected, got 'many'"),
        (("--given", "open=maybe"), "column 'open': a value of type bool expected, got 'maybe'"),
        (("--given", "town=Lyon", "--given", "town=Nice"), "column 'town' has two values"),
        (("--given", "town=Lyon,5"), "column=value expected, got '5'"),
        (("--given", "nowhere.csv"), "nowhere.csv"),
        (("--temperature", "0.5"), "--temperature does not apply to the model of a table"),
        (("--class", "3"), "--class does not apply to the model of a table"),
        (("-n", "0"), "n must be at least 1, got 0"),
        (("--out", "a.npy"), "a file name ending in .csv, .parquet or .jsonl expected"),
    ],
)
def test_samples_are_refused_in_one_sentence(run: Run, density: Path, words: tuple[str, ...], said: str) -> None:
    code, _, err = run("sample", density, *words)
    assert code in (2, 3)
    assert said in err
    assert len(err.strip().splitlines()) == 1


def test_a_regressor_samples_given_columns_only(run: Run, regressor: Path) -> None:
    code, _, err = run("sample", regressor, "-n", 2)
    assert code == 2
    assert "set --given FILE" in err


@pytest.mark.parametrize(
    "words",
    [
        "check {}",
        "encode {} digits --out a.csv",
        "decode {} z.npy --out a.csv",
        "sweep {} --out a.png",
        "reconstruct {} digits --out a.png",
        "manipulate {} digits --label 1 --out a.png",
        "interpolate {} a.png b.png --out a.png",
    ],
)
def test_commands_for_flows_name_those_for_tables(run: Run, density: Path, words: str) -> None:
    code, _, err = run(*words.format(density).split())
    assert code == 4, err
    assert "holds a FlowDensity, not a flow" in err
    assert "score, sample, predict, impute, report and info take it" in err
    with pytest.raises(ModelError, match=r"pushforward.FlowDensity.load"):
        pushforward.load(density)


@pytest.mark.parametrize(("command", "words"), [("score", ("--explain",)), ("sample", ("--complete",))])
def test_options_of_tables_are_refused_for_plain_flows(
    run: Run, table_model: Path, houses_csv: Path, command: str, words: tuple[str, ...]
) -> None:
    data = (houses_csv,) if command == "score" else ()
    code, _, err = run(command, table_model, *data, *words)
    assert code == 2
    assert f"{words[0]} is for the model of a table" in err
