"""`pushforward fit` leaves a whole model, says how good it is, and refuses what it cannot do."""

import csv
import io
import json
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from small_models import SMALL, TINY_IMAGES, Run, write_csv

from pushforward import storage
from pushforward.data import load, split


def test_a_fit_leaves_a_whole_model_with_its_report(run: Run, houses_csv: Path, tmp_path: Path) -> None:
    words = [word for word in SMALL if word != "--no-report"]
    code, out, err = run("fit", houses_csv, "--out", tmp_path / "m", "--seed", 3, *words)
    assert code == 0, err
    files = {"config.json", "model.safetensors", "split.json", "metrics.jsonl", "manifest.json"}
    assert {path.name for path in (tmp_path / "m").iterdir()} == files | {"report.html", "report.json"}
    assert "held-out (12 test rows)" in out
    assert "\nfit: " in out
    assert "\n  - only 12 held-out rows: a fault could stay unseen\n" in out
    assert "numerics: good\n" in out
    assert "nats (exact)" in out
    assert "+-" in out
    assert "Gaussian, full covariance" in out
    model = storage.load_model(tmp_path / "m")
    data = load(str(houses_csv))
    assert model.split is not None
    assert np.array_equal(model.split.test, split(data, 3).test)
    assert model.config.data is not None
    assert model.config.data.fingerprint == data.fingerprint
    numbers = json.loads((tmp_path / "m" / "report.json").read_text())
    assert f"{numbers['likelihood']['value']['mean']:.4f}" in out


def test_a_flow_that_is_fitted_step_by_step_is_a_model_like_any_other(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "m"
    code, printed, err = run(
        "fit", "two-moons", "--limit", 300, "--flow", "rbig", "--option", "transforms=3", "--minutes", 1, "--out", out
    )
    assert code == 0, err
    assert "ended by steps" in printed
    assert (out / "report.html").exists()
    assert run("score", out, "two-moons", "--out", tmp_path / "scores.csv")[0] == 0
    assert run("sample", out, "-n", 20, "--out", tmp_path / "samples.csv")[0] == 0
    assert "rbig" in run("info", out)[1]


def test_images_are_fitted_in_bits_a_dimension(run: Run, image_model: Path) -> None:
    model = storage.load_model(image_model)
    assert model.config.flow.options["levels"] == 17
    assert model.flow.event_shape == (1, 8, 8)
    entries = [json.loads(line) for line in (image_model / "metrics.jsonl").read_text().splitlines()]
    assert entries[-1]["unit"] == "bits/dim"
    assert (entries[-1]["kind"], entries[-1]["dequantisation"]) == ("bound", "uniform")


def test_whatever_is_printed_says_which_bound_it_is(run: Run, tmp_path: Path) -> None:
    words = ("fit", "digits", "--limit", 60, "--no-report", "--out", tmp_path / "m", *TINY_IMAGES)
    code, out, err = run(*words, "--option", "dequantisation=variational")
    assert code == 0
    assert "bits/dim (bound, variational dequantisation)" in out
    assert "bits/dim (bound, variational dequantisation)" in err
    np.save(tmp_path / "x.npy", load("digits").x[:5])
    code, out, err = run("score", tmp_path / "m", tmp_path / "x.npy")
    assert code == 0
    assert {row["dequantisation"] for row in csv.DictReader(io.StringIO(out))} == {"variational"}
    assert "(bound, variational dequantisation)" in err
    assert "likelihood bound, variational dequantisation" in run("info", tmp_path / "m")[1]


def test_the_same_seed_gives_the_same_weights(run: Run, houses_csv: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert run("fit", houses_csv, "--out", tmp_path / name, "--seed", seed, *SMALL)[0] == 0
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in "abc"]
    assert weights[0] == weights[1] != weights[2]
    splits = [(tmp_path / name / "split.json").read_bytes() for name in "abc"]
    assert splits[0] == splits[1] != splits[2]


@pytest.mark.parametrize(
    ("limit", "steps"), [(("--epochs", 2), 3), (("--steps", 2), 2), (("--training", "epochs=1"), 2)]
)
def test_the_limit_that_was_given_ends_the_training(
    run: Run, houses_csv: Path, tmp_path: Path, limit: tuple[str, object], steps: int
) -> None:
    # The limit of time is there for a limit of steps that does not hold.
    words = ("--option", "transforms=1", "--option", "hidden=4", "--no-report", "--minutes", 0.2)
    assert run("fit", houses_csv, "--out", tmp_path / "m", *words, *limit)[0] == 0
    # Batches of 64 of the 96 training rows.
    assert storage.load_model(tmp_path / "m").config.training["steps"] == steps


def test_columns_are_chosen_by_name_in_the_order_given(run: Run, houses_csv: Path, tmp_path: Path) -> None:
    words = ("fit", houses_csv, "--columns", "price", "--columns", "area", "--context", "age")
    assert run(*words, "--out", tmp_path / "m", *SMALL)[0] == 0
    config = storage.load_model(tmp_path / "m").config
    assert config.data is not None
    assert config.data.columns == ("price", "area")
    assert config.data.context_columns == ("age",)
    assert config.flow.context_dim == 1


def test_a_column_name_may_hold_a_comma(run: Run, houses: dict[str, np.ndarray], tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", {'"area, m2"': houses["area"], "price": houses["price"]})
    assert run("fit", path, "--columns", '"area, m2",price', "--out", tmp_path / "m", *SMALL)[0] == 0
    config = storage.load_model(tmp_path / "m").config
    assert config.data is not None
    assert config.data.columns == ("area, m2", "price")


def test_a_test_file_is_the_test_part(
    run: Run, houses: dict[str, np.ndarray], houses_csv: Path, tmp_path: Path
) -> None:
    test = write_csv(tmp_path / "test.csv", {name: column[:20] for name, column in houses.items()})
    code, out, _ = run("fit", houses_csv, "--test", test, "--out", tmp_path / "m", *SMALL)
    assert code == 0
    assert "held-out (20 test rows)" in out
    assert "  - only 20 held-out rows" in out
    found = storage.load_model(tmp_path / "m").split
    assert found is not None
    assert found.test.tolist() == list(range(120, 140))
    assert len(found.train) + len(found.validation) == 120
    # The file is remembered: the test part is scored without being told of it.
    code, scores, _ = run("score", tmp_path / "m", houses_csv, "--part", "test")
    assert code == 0
    assert len(scores.splitlines()) == 21


def test_a_test_file_of_other_columns_is_refused(run: Run, houses_csv: Path, tmp_path: Path) -> None:
    test = write_csv(tmp_path / "test.csv", {"a": np.arange(5), "b": np.arange(5), "c": np.arange(5)})
    code, _, err = run("fit", houses_csv, "--test", test, "--out", tmp_path / "m", *SMALL)
    assert code == 3
    assert "rows like those of houses.csv" in err


def test_a_folder_that_is_not_empty_is_refused_without_force(run: Run, houses_csv: Path, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "thesis.tex").write_text("x")
    code, _, err = run("fit", houses_csv, "--out", tmp_path / "m", *SMALL)
    assert code == 2
    assert "not empty" in err
    assert "--force" in err
    assert run("fit", houses_csv, "--out", tmp_path / "m", "--force", *SMALL)[0] == 0
    assert (tmp_path / "m" / "thesis.tex").read_text() == "x"
    storage.load(tmp_path / "m")


def test_force_replaces_a_model_whole(run: Run, houses_csv: Path, tmp_path: Path) -> None:
    assert run("fit", houses_csv, "--out", tmp_path / "m", *SMALL)[0] == 0
    storage.add_file(tmp_path / "m", "report.html", b"of the old one")
    assert run("fit", houses_csv, "--out", tmp_path / "m", "--force", "--flow", "nice", *SMALL)[0] == 0
    assert not (tmp_path / "m" / "report.html").exists()
    assert storage.load_model(tmp_path / "m").config.flow.name == "nice"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--option", "colour=red"), 2, "no option 'colour'"),
        (("--option", "hidden"), 2, "NAME=VALUE"),
        (("--option", "dropout=2"), 2, "dropout"),
        (("--training", "lr=-1"), 2, "lr"),
        (("--training", "speed=1"), 2, "no option 'speed'"),
        (("--flow", "glowing"), 2, "'glowing' is not known"),
        (("--minutes", "0"), 2, "minutes"),
        (("--device", "cuda:77"), 2, "cuda:77"),
        (("--device", "toaster"), 2, "toaster"),
        (("--threads", "0"), 2, "threads"),
        (("--seed", "-1"), 2, "seed"),
        (("--columns", "area,prize"), 3, "'prize'"),
        (("--columns", "area,,price"), 2, "separated by commas"),
        (("--context", "area,price,age"), 2, "no column"),
        (("--labels",), 3, "no class labels"),
        (("--limit", "5"), 3, "at least 10"),
        (("--resize", "8"), 2, "resize"),
        (("--test", "nowhere.csv"), 3, "nowhere.csv"),
        (("--config", "nowhere.toml"), 2, "nowhere.toml"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_written(
    run: Run, houses_csv: Path, tmp_path: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    found, out, err = run("fit", houses_csv, "--out", tmp_path / "m", "--steps", 2, *words)
    assert found == code, err
    assert said in err
    assert "Traceback" not in err
    assert not (tmp_path / "m").exists()
    assert out == ""


def test_data_that_are_not_there_are_exit_code_3(run: Run, tmp_path: Path) -> None:
    code, _, err = run("fit", "two-moon", "--out", tmp_path / "m")
    assert code == 3
    assert "two-moons" in err


def test_no_data_and_no_folder_are_exit_code_2(run: Run, tmp_path: Path) -> None:
    assert "DATA is missing" in run("fit", "--out", tmp_path / "m")[2]
    code, _, err = run("fit", "two-moons")
    assert code == 2
    assert "--out DIR is missing" in err


def test_an_interrupt_saves_the_best_model(run: Run, houses_csv: Path, tmp_path: Path) -> None:
    out = tmp_path / "m"
    metrics = out / "metrics.jsonl"

    def interrupt() -> None:
        end = time.monotonic() + 100
        while time.monotonic() < end:
            # More than one entry: the weights have moved.
            if metrics.exists() and len(metrics.read_text().splitlines()) > 2:
                os.kill(os.getpid(), signal.SIGINT)
                return
            time.sleep(0.01)

    thread = threading.Thread(target=interrupt)
    thread.start()
    words = ("--option", "transforms=2", "--option", "hidden=8", "--training", "validate_every=2", "--no-report")
    code, said, _ = run("fit", houses_csv, "--out", out, "--minutes", 5, "--training", "patience=null", *words)
    thread.join()
    assert code == 0
    assert "ended by interrupted" in said
    assert storage.load_model(out).config.training["stopped_by"] == "interrupted"


def test_a_killed_run_leaves_a_whole_model(
    run: Run, houses_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pushforward.cli import fitting

    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    # What is on the disk at the moment at which the final save would begin.
    monkeypatch.setattr(fitting, "_summary", die)
    with pytest.raises(Killed):
        run("fit", houses_csv, "--out", tmp_path / "m", *SMALL)
    assert storage.load_model(tmp_path / "m").config.training["unfinished"] is True


def test_without_a_report_the_numbers_are_those_of_one(run: Run, folder: Path, tmp_path: Path) -> None:
    words = ("fit", "digits", "--limit", "60", "--out", tmp_path / "m", *TINY_IMAGES)
    _, short, _ = run(*words, "--no-report")
    code, long, err = run("report", tmp_path / "m", "digits")
    assert code == 0, err
    for name in ("held-out", "  Gaussian, full covariance"):
        lines = [next(line for line in text.splitlines() if line.startswith(name)) for text in (short, long)]
        assert lines[0] == lines[1]


def test_columns_without_density_are_named_before_training(run: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    columns = {"mass": rng.normal(size=100), "kind": rng.integers(0, 2, 100).astype(float)}
    file = write_csv(tmp_path / "kinds.csv", columns)
    code, _, err = run("fit", file, "--out", tmp_path / "model", *SMALL)
    assert code == 0
    note = next(line for line in err.splitlines() if line.startswith("note: these data have no density"))
    assert "column 'kind' has 2 different values in 80 rows" in note
    assert "column 'mass'" not in note


@pytest.mark.parametrize(
    "words",
    [
        ("--option", "bounds=share:0:1,mass:0:"),
        ("--option", 'bounds={"share": [0, 1], "0": [0, null]}'),
        ("--config", "run.toml"),
    ],
)
def test_bounds_of_columns_are_kept_by_samples(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.toml").write_text('[option]\nbounds = ["share:0:1", "mass:0:"]\n')
    rng = np.random.default_rng(0)
    columns = {"mass": rng.exponential(size=200), "age": rng.normal(size=200), "share": rng.beta(0.5, 1, 200)}
    file = write_csv(tmp_path / "x.csv", columns)
    code, _, err = run("fit", file, "--out", tmp_path / "m", "--flow", "maf", *words, *SMALL)
    assert code == 0, err
    assert storage.load(tmp_path / "m").config.options["bounds"] == {"0": [0.0, None], "2": [0.0, 1.0]}
    drawn = run("sample", tmp_path / "m", "-n", 500)[1]
    rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(io.StringIO(drawn))]
    assert all(row["mass"] > 0 and 0 < row["share"] < 1 for row in rows)


@pytest.mark.parametrize(("word", "said"), [("share", "COLUMN:LOW:HIGH"), ("shore:0:1", "did you mean share")])
def test_bounds_of_no_column_are_exit_code_2(run: Run, tmp_path: Path, word: str, said: str) -> None:
    rng = np.random.default_rng(0)
    file = write_csv(tmp_path / "x.csv", {"share": rng.uniform(size=50), "mass": rng.normal(size=50)})
    code, _, err = run("fit", file, "--out", tmp_path / "m", "--option", f"bounds={word}", *SMALL)
    assert code == 2
    assert said in err
