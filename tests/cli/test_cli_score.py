"""`pushforward score` writes a row for each row, in every form, with unit and kind."""

import csv
import gzip
import io
import json
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch
from small_models import Run, write_csv

from pushforward import storage
from pushforward.cli import row_blocks
from pushforward.data import load


def expected(model: Path, x: np.ndarray, context: np.ndarray | None = None) -> np.ndarray:
    given = None if context is None else torch.as_tensor(context, dtype=torch.float32)
    flow = storage.load(model)
    return flow.likelihood(torch.as_tensor(x, dtype=torch.float32), given).value.double().numpy()


def test_every_row_gets_its_log_likelihood_with_unit_and_kind(
    run: Run, table_model: Path, houses_csv: Path, houses: dict[str, np.ndarray]
) -> None:
    code, out, err = run("score", table_model, houses_csv)
    assert code == 0
    rows = list(csv.DictReader(io.StringIO(out)))
    assert list(rows[0]) == ["row", "value", "unit", "kind"]
    assert [int(row["row"]) for row in rows] == list(range(120))
    assert {(row["unit"], row["kind"]) for row in rows} == {("nats", "exact")}
    x = np.stack([houses["area"], houses["price"]], 1)
    assert np.array_equal([float(row["value"]) for row in rows], expected(table_model, x))
    assert "120 rows: mean" in err
    assert "age" in err  # a column that the model does not know is named


def test_columns_are_found_by_name_in_any_order(
    run: Run, table_model: Path, houses: dict[str, np.ndarray], houses_csv: Path, tmp_path: Path
) -> None:
    turned = write_csv(tmp_path / "turned.csv", {"price": houses["price"], "area": houses["area"]})
    assert run("score", table_model, turned)[1] == run("score", table_model, houses_csv)[1]


def test_missing_columns_are_all_named(run: Run, conditional_model: Path, tmp_path: Path) -> None:
    other = write_csv(tmp_path / "other.csv", {"area": np.ones(3), "cost": np.ones(3)})
    code, out, err = run("score", conditional_model, other)
    assert (code, out) == (3, "")
    assert "price, age are missing" in err
    assert "cost" in err


def test_columns_under_other_names_are_given_in_the_models_order(
    run: Run, table_model: Path, houses: dict[str, np.ndarray], houses_csv: Path, tmp_path: Path
) -> None:
    other = write_csv(tmp_path / "other.csv", {"cost": houses["price"], "size": houses["area"]})
    assert run("score", table_model, other, "--columns", "size,cost")[1] == run("score", table_model, houses_csv)[1]
    code, _, err = run("score", table_model, other, "--columns", "size")
    assert code == 3
    assert "2 names expected" in err


def test_an_array_without_names_is_taken_by_position(
    run: Run, table_model: Path, houses: dict[str, np.ndarray], tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", np.stack([houses["area"], houses["price"]], 1))
    np.save(tmp_path / "wide.npy", np.ones((4, 3)))
    assert run("score", table_model, tmp_path / "x.npy")[0] == 0
    code, _, err = run("score", table_model, tmp_path / "wide.npy")
    assert code == 3
    assert "has 3 columns, but the model takes 2: area, price" in err


def test_context_is_found_by_name(
    run: Run, conditional_model: Path, houses_csv: Path, houses: dict[str, np.ndarray]
) -> None:
    _, out, _ = run("score", conditional_model, houses_csv)
    values = [float(row["value"]) for row in csv.DictReader(io.StringIO(out))]
    x = np.stack([houses["area"], houses["price"]], 1)
    assert np.array_equal(values, expected(conditional_model, x, houses["age"][:, None]))


def test_every_ending_holds_the_same_rows(run: Run, image_model: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", load("digits").x[:5])
    for ending in ("csv", "parquet", "npy", "jsonl"):
        code, out, _ = run("score", image_model, tmp_path / "x.npy", "--samples", 3, "--out", tmp_path / f"s.{ending}")
        assert (code, out) == (0, "")
    with (tmp_path / "s.csv").open() as file:
        rows = list(csv.DictReader(file))
    values = [float(row["value"]) for row in rows]
    assert len(values) == 5
    assert {(row["unit"], row["kind"], row["dequantisation"]) for row in rows} == {("bits/dim", "bound", "uniform")}
    assert {(row["in_words"], row["samples"], row["probes"]) for row in rows} == {
        ("bound, uniform dequantisation", "3", "1")
    }
    assert all(float(row["standard_error"]) > 0 for row in rows)
    parquet = pyarrow.parquet.read_table(tmp_path / "s.parquet").to_pydict()
    array = np.load(tmp_path / "s.npy", allow_pickle=False)
    lines = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    assert parquet["value"] == array["value"].tolist() == [line["value"] for line in lines] == values
    assert parquet["unit"] == array["unit"].tolist() == ["bits/dim"] * 5


def test_the_mean_says_how_many_draws_it_has_and_where_they_are_of_no_use(
    run: Run, image_model: Path, table_model: Path, houses_csv: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", load("digits").x[:5])
    assert (
        "bits/dim (bound, uniform dequantisation, k = 3)"
        in run("score", image_model, tmp_path / "x.npy", "--samples", 3)[2]
    )
    _, out, err = run("score", table_model, houses_csv, "--samples", 3)
    assert "--samples and --probes are ignored: this likelihood is exact" in err
    assert "samples" not in out.splitlines()[0]


def test_bits_are_nats_divided(run: Run, image_model: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", load("digits").x[:5])
    found = {}
    for unit in ("nats", "bits/dim"):
        _, out, _ = run("score", image_model, tmp_path / "x.npy", "--unit", unit)
        found[unit] = np.array([float(row["value"]) for row in csv.DictReader(io.StringIO(out))])
    assert np.allclose(found["bits/dim"], -found["nats"] / (64 * np.log(2)), rtol=1e-12)


def test_the_test_part_is_scored_as_in_the_fit(run: Run, table_model: Path, houses_csv: Path) -> None:
    code, out, _ = run("score", table_model, houses_csv, "--part", "test")
    assert code == 0
    model = storage.load_model(table_model)
    assert model.split is not None
    assert [int(row["row"]) for row in csv.DictReader(io.StringIO(out))] == model.split.test.tolist()


def test_a_part_of_other_data_is_refused(run: Run, table_model: Path, tmp_path: Path) -> None:
    other = write_csv(tmp_path / "other.csv", {"area": np.arange(9), "price": np.arange(9)})
    code, _, err = run("score", table_model, other, "--part", "test")
    assert code == 3
    assert "not the data that this model was fitted to" in err


def test_images_darker_than_the_models_have_its_levels(run: Run, image_model: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "dark.npy", np.ones((2, 1, 8, 8), np.uint8))
    np.save(tmp_path / "bright.npy", np.full((2, 1, 8, 8), 200, np.uint8))
    assert run("score", image_model, tmp_path / "dark.npy")[0] == 0
    code, _, err = run("score", image_model, tmp_path / "bright.npy")
    assert code == 3
    assert "17 levels" in err


def test_data_of_another_shape_are_exit_code_3(run: Run, image_model: Path, table_model: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "big.npy", np.ones((2, 1, 9, 9), np.uint8))
    code, _, err = run("score", image_model, tmp_path / "big.npy")
    assert code == 3
    assert "(1, 8, 8)" in err
    assert run("score", image_model, "two-moons")[0] == 3
    assert run("score", table_model, "digits")[0] == 3


def test_labels_beyond_the_models_are_refused(run: Run, labelled_model: Path, tmp_path: Path) -> None:
    digits = load("digits")
    assert digits.labels is not None
    np.savez(tmp_path / "a.npz", x=digits.x[:4], labels=digits.labels[:4])
    np.savez(tmp_path / "b.npz", x=digits.x[:4], labels=digits.labels[:4] + 10)
    np.save(tmp_path / "c.npy", digits.x[:4])
    assert run("score", labelled_model, tmp_path / "a.npz")[0] == 0
    for name, said in (("b.npz", "labels 0 to 9"), ("c.npy", "have none")):
        code, _, err = run("score", labelled_model, tmp_path / name)
        assert code == 3
        assert said in err


def test_a_row_of_density_zero_is_minus_infinity_and_said(run: Run, table_model: Path, tmp_path: Path) -> None:
    out, model = tmp_path / "s.jsonl", storage.load_model(table_model)
    x = np.zeros((3, len(model.event_names)))
    x[1:] = 1e37
    np.save(tmp_path / "x.npy", x)
    code, _, err = run("score", table_model, tmp_path / "x.npy", "--out", out)
    assert code == 0, err
    assert "2 of them have no finite value" in err
    assert [json.loads(line)["value"] for line in out.read_text().splitlines()][1:] == ["-inf", "-inf"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--out", "scores.xls"), ".xls"),
        (("--out", "nowhere/scores.csv"), "no folder nowhere"),
        (("--samples", "0"), "samples"),
    ],
)
def test_wrong_options_are_exit_code_2(
    run: Run, table_model: Path, houses_csv: Path, words: tuple[str, ...], said: str
) -> None:
    code, _, err = run("score", table_model, houses_csv, *words)
    assert code == 2
    assert said in err


def test_a_file_that_is_there_is_not_overwritten(run: Run, table_model: Path, houses_csv: Path, tmp_path: Path) -> None:
    out = tmp_path / "s.csv"
    out.write_text("precious")
    code, _, err = run("score", table_model, houses_csv, "--out", out)
    assert (code, out.read_text()) == (2, "precious")
    assert "--force" in err
    assert run("score", table_model, houses_csv, "--out", out, "--force")[0] == 0


def test_a_broken_model_is_exit_code_4(run: Run, table_model: Path, houses_csv: Path, tmp_path: Path) -> None:
    code, _, err = run("score", tmp_path, houses_csv)
    assert code == 4
    assert "manifest.json is missing" in err


def test_as_many_probes_are_averaged_as_are_asked_for(run: Run, houses_csv: Path, tmp_path: Path) -> None:
    words = ("--flow", "ffjord", "--option", "hidden=4", "--option", "trace=hutchinson", "--steps", 1, "--no-report")
    assert run("fit", houses_csv, "--columns", "area,price", "--out", tmp_path / "m", *words)[0] == 0
    code, out, _ = run("score", tmp_path / "m", houses_csv, "--probes", 3)
    assert code == 0
    rows = list(csv.DictReader(io.StringIO(out)))
    assert {row["probes"] for row in rows} == {"3"}
    assert all(float(row["standard_error"]) >= 0 for row in rows)


@pytest.fixture
def gaps_csv(houses: dict[str, np.ndarray], tmp_path: Path) -> Path:
    """The houses, with a missing area in row 2 and an infinite price in row 5."""
    area, price = houses["area"].astype(object), houses["price"].astype(object)
    area[1], price[4] = "", "inf"
    return write_csv(tmp_path / "gaps.csv", {"area": area, "price": price})


def test_rows_with_missing_values_have_an_empty_score(
    run: Run, table_model: Path, houses_csv: Path, gaps_csv: Path, tmp_path: Path
) -> None:
    """The other rows have the scores that they have among complete rows."""
    code, out, err = run("score", table_model, gaps_csv)
    assert code == 0, err
    scores = [row["value"] for row in csv.DictReader(io.StringIO(out))]
    whole = [row["value"] for row in csv.DictReader(io.StringIO(run("score", table_model, houses_csv)[1]))]
    assert [i for i, score in enumerate(scores) if score == ""] == [1, 4]
    assert [s for s in scores if s] == [s for i, s in enumerate(whole) if i not in (1, 4)]
    assert "118 rows: mean" in err
    assert "2 of 120 rows have no score (row 2, 5)" in err
    assert "a missing value (or NaN) in row 2 (line 3), column 'area'" in err
    assert run("score", table_model, gaps_csv, "--out", tmp_path / "s.parquet")[0] == 0
    values = pyarrow.parquet.read_table(tmp_path / "s.parquet")["value"].to_numpy()
    assert np.flatnonzero(np.isnan(values)).tolist() == [1, 4]
    assert run("score", table_model, gaps_csv, "--out", tmp_path / "s.jsonl")[0] == 0
    assert json.loads((tmp_path / "s.jsonl").read_text().splitlines()[1])["value"] is None


def test_strict_refuses_missing_values(run: Run, table_model: Path, gaps_csv: Path, tmp_path: Path) -> None:
    code, _, err = run("score", table_model, gaps_csv, "--strict", "--out", tmp_path / "s.csv")
    assert code == 3
    assert "missing value (or NaN) in row 2 (line 3), column 'area'" in err
    assert [path.name for path in tmp_path.iterdir()] == ["gaps.csv"]


def test_no_row_may_have_a_score(run: Run, table_model: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.full((3, 2), np.nan))
    code, out, err = run("score", table_model, tmp_path / "x.npy")
    assert code == 0
    assert [line.split(",")[1] for line in out.splitlines()] == ["value", "", "", ""]
    assert "3 rows; none of them has a score" in err


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet", "npy"])
def test_a_file_in_blocks_has_the_scores_of_a_file_in_one(
    run: Run, image_model: Path, table_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    """Of a value outside the support, and text far down, the row is that of the file."""
    x = np.random.default_rng(0).normal(100, 5, (3000, 2))
    file = tmp_path / f"x.{ending}"
    if ending == "npy":
        np.save(file, x)
    elif ending == "parquet":
        pyarrow.parquet.write_table(pyarrow.table({"area": x[:, 0], "price": x[:, 1]}), file, row_group_size=700)
    else:
        text = "area,price\n" + "".join(f"{a},{b}\n" for a, b in x.tolist())
        file.write_bytes(gzip.compress(text.encode()) if ending == "csv.gz" else text.encode())
    whole = run("score", table_model, file)
    monkeypatch.setattr(row_blocks, "_BATCHES", 1)
    parts = run("score", table_model, file)
    assert whole[0] == 0
    assert whole[1] == parts[1]
    assert whole[2].splitlines()[-1] == parts[2].splitlines()[-1]
    assert len(whole[1].splitlines()) == 3001


def test_data_of_the_fit_are_said(
    run: Run,
    table_model: Path,
    conditional_model: Path,
    houses_csv: Path,
    houses: dict[str, np.ndarray],
    tmp_path: Path,
) -> None:
    for model in (table_model, conditional_model):
        err = run("score", model, houses_csv)[2]
        assert "these are the data of the fit, and 96 of their rows trained the model" in err
        assert "data of the fit" not in run("score", model, houses_csv, "--part", "test")[2]
    changed = {name: np.where(np.arange(120) == 7, column + 1, column) for name, column in houses.items()}
    other = write_csv(tmp_path / "other.csv", changed)
    for model in (table_model, conditional_model):
        assert "data of the fit" not in run("score", model, other)[2]


def test_truth_values_are_said(run: Run, table_model: Path, tmp_path: Path) -> None:
    table = pyarrow.table({"area": [1.5, 2.0], "price": [True, False]})
    pyarrow.parquet.write_table(table, tmp_path / "x.parquet")
    assert "note: price of x.parquet hold truth values" in run("score", table_model, tmp_path / "x.parquet")[2]
