"""`sample`, `encode`, `decode` and `interpolate`: what comes out of a model, in every form."""

import csv
import io
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image
from small_models import SMALL, Run, write_csv

from pushforward.cli import sampling
from pushforward.data import load


def table(text: str) -> dict[str, np.ndarray]:
    rows = list(csv.reader(io.StringIO(text)))
    return {name: np.array(column, float) for name, column in zip(rows[0], zip(*rows[1:], strict=True), strict=True)}


def test_rows_are_sampled_under_the_columns_names(run: Run, table_model: Path, tmp_path: Path) -> None:
    code, out, _ = run("sample", table_model, "-n", 7, "--seed", 5)
    assert code == 0
    drawn = table(out)
    assert list(drawn) == ["area", "price"]
    assert len(drawn["area"]) == 7
    for ending in ("npy", "parquet", "csv"):
        assert run("sample", table_model, "-n", 7, "--seed", 5, "--out", tmp_path / f"s.{ending}")[0] == 0
    array = np.load(tmp_path / "s.npy", allow_pickle=False)
    assert array.dtype == np.float32
    assert np.array_equal(array[:, 0], drawn["area"].astype(np.float32))
    assert pyarrow.parquet.read_table(tmp_path / "s.parquet")["area"].to_pylist() == array[:, 0].tolist()
    assert (tmp_path / "s.csv").read_text() == out
    assert run("sample", table_model, "-n", 7, "--seed", 6)[1] != out


def test_images_are_sampled_as_a_grid_or_as_numbers(run: Run, image_model: Path, tmp_path: Path) -> None:
    assert run("sample", image_model, "-n", 9, "--out", tmp_path / "s.png")[0] == 0
    with Image.open(tmp_path / "s.png") as image:
        assert image.size == (8 * (3 * 9 + 1), 8 * (3 * 9 + 1))
    assert run("sample", image_model, "-n", 9, "--out", tmp_path / "s.npy")[0] == 0
    x = np.load(tmp_path / "s.npy", allow_pickle=False)
    assert (x.shape, x.dtype) == ((9, 1, 8, 8), np.uint8)
    assert x.max() <= 16
    assert run("score", image_model, tmp_path / "s.npy")[0] == 0


def test_a_low_temperature_draws_closer_together(run: Run, table_model: Path) -> None:
    wide, narrow = (table(run("sample", table_model, "-n", 200, "--temperature", t)[1]) for t in (1.0, 0.1))
    assert narrow["area"].std() < 0.3 * wide["area"].std()


def test_a_conditional_model_is_sampled_given_values_or_a_file(
    run: Run, conditional_model: Path, tmp_path: Path
) -> None:
    drawn = table(run("sample", conditional_model, "-n", 3, "--given", "age=12.5")[1])
    assert list(drawn) == ["area", "price", "age"]
    assert drawn["age"].tolist() == [12.5] * 3
    file = write_csv(tmp_path / "ages.csv", {"age": np.array([1.0, 2.0]), "more": np.zeros(2)})
    drawn = table(run("sample", conditional_model, "-n", 3, "--given", file)[1])
    assert sorted(drawn["age"]) == [1, 1, 1, 2, 2, 2]


def test_values_of_a_context_are_given_by_name_in_any_order(run: Run, houses_csv: Path, tmp_path: Path) -> None:
    words = ("fit", houses_csv, "--columns", "price", "--context", "area,age", "--out", tmp_path / "m", *SMALL)
    assert run(*words)[0] == 0
    first, second = (
        table(run("sample", tmp_path / "m", "-n", 3, "--given", given)[1])
        for given in ("area=100,age=7", "age=7, area=100")
    )
    assert {name: column.tolist() for name, column in first.items()} == {
        name: column.tolist() for name, column in second.items()
    }
    assert (first["area"][0], first["age"][0]) == (100, 7)


def test_a_sample_in_pieces_repeats_no_draw(run: Run, table_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "_PIECE_VALUES", 8)
    drawn = table(run("sample", table_model, "-n", 30)[1])
    assert len(set(drawn["area"].tolist())) == 30


def test_a_model_of_classes_is_sampled_from_those_asked_for(run: Run, labelled_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "s.csv"
    assert run("sample", labelled_model, "-n", 2, "--class", 3, 7, "--out", out)[0] == 0
    drawn = table(out.read_text())
    assert drawn["class"].tolist() == [3, 7, 3, 7]
    assert len(drawn) == 65
    # In a picture a column is a class.
    assert run("sample", labelled_model, "-n", 5, "--class", 3, 7, "--out", tmp_path / "s.png")[0] == 0
    with Image.open(tmp_path / "s.png") as image:
        assert image.width < image.height


@pytest.mark.parametrize(
    ("model", "words", "said"),
    [
        ("table_model", ("-n", "0"), "at least 1"),
        ("table_model", ("-n", "99999999999999"), "at most"),
        ("table_model", ("--temperature", "0"), "temperature"),
        ("table_model", ("--temperature", "nan"), "temperature"),
        ("table_model", ("--out", "s.png"), "rows, not images"),
        ("table_model", ("--given", "age=1"), "not conditional"),
        ("table_model", ("--class", "1"), "not conditional"),
        ("image_model", (), "--out NAME.png"),
        ("conditional_model", (), "--given age=VALUE"),
        ("conditional_model", ("--given", "size=1"), "no context 'size'; this model is conditional on age"),
        ("conditional_model", ("--given", "aeg=1"), "no context 'aeg'; did you mean age?"),
        ("conditional_model", ("--given", "12.5"), "write --given age=VALUE"),
        ("conditional_model", ("--given", "age=1,2"), "one value per name expected; a file holds several rows"),
        ("conditional_model", ("--given", "age=old"), "name=number"),
        ("conditional_model", ("--given", "age=inf"), "finite values expected"),
        ("labelled_model", ("--out", "s.png"), "--class"),
        ("labelled_model", ("--out", "s.png", "--class", "10"), "labels 0 to 9"),
    ],
)
def test_what_cannot_be_sampled_is_exit_code_2(
    run: Run,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    model: str,
    words: tuple[str, ...],
    said: str,
) -> None:
    path = request.getfixturevalue(model)
    monkeypatch.chdir(tmp_path)
    code, out, err = run("sample", path, *words)
    assert (code, out) == (2, ""), err
    assert said in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", ["npy", "csv", "parquet"])
def test_decoding_what_was_encoded_gives_the_data(
    run: Run, table_model: Path, houses_csv: Path, houses: dict[str, np.ndarray], tmp_path: Path, ending: str
) -> None:
    assert run("encode", table_model, houses_csv, "--out", tmp_path / f"z.{ending}")[0] == 0
    code, out, _ = run("decode", table_model, tmp_path / f"z.{ending}")
    assert code == 0
    back = table(out)
    assert np.allclose(back["area"], houses["area"], rtol=1e-5)
    assert np.allclose(back["price"], houses["price"], rtol=1e-5)


def test_images_come_back_from_their_latents(run: Run, image_model: Path, tmp_path: Path) -> None:
    x = load("digits").x[:6]
    np.save(tmp_path / "x.npy", x)
    assert run("encode", image_model, tmp_path / "x.npy", "--out", tmp_path / "z.npy")[0] == 0
    assert np.load(tmp_path / "z.npy").shape == (6, 64)
    assert run("decode", image_model, tmp_path / "z.npy", "--out", tmp_path / "y.npy")[0] == 0
    # Noise that falls on the very edge of a level may be rounded over it.
    assert (np.load(tmp_path / "y.npy") == x).mean() > 0.999
    assert run("decode", image_model, tmp_path / "z.npy", "--out", tmp_path / "y.png")[0] == 0


def test_conditional_latents_need_their_context(
    run: Run, conditional_model: Path, houses_csv: Path, houses: dict[str, np.ndarray], tmp_path: Path
) -> None:
    z = tmp_path / "z.npy"
    assert run("encode", conditional_model, houses_csv, "--out", z)[0] == 0
    _, out, _ = run("decode", conditional_model, z, "--given", houses_csv)
    assert np.allclose(table(out)["price"], houses["price"], rtol=1e-5)
    assert np.allclose(table(out)["age"], houses["age"], rtol=1e-5)
    assert run("decode", conditional_model, z)[0] == 2
    ages = write_csv(tmp_path / "ages.csv", {"age": np.ones(3)})
    assert run("decode", conditional_model, z, "--given", ages)[0] == 3


def test_latents_of_another_size_are_refused(run: Run, table_model: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "z.npy", np.zeros((4, 3)))
    code, _, err = run("decode", table_model, tmp_path / "z.npy")
    assert code == 3
    assert "latents of 2 numbers" in err


def test_four_examples_span_a_square_and_two_a_line(run: Run, image_model: Path, tmp_path: Path) -> None:
    words = ("interpolate", image_model, "--data", "digits", "--steps", 4)
    assert run(*words, "--rows", 0, 1, 2, 3, "--out", tmp_path / "four.npy")[0] == 0
    square = np.load(tmp_path / "four.npy").reshape(4, 4, 1, 8, 8)
    x = load("digits").x
    for place, row in (((0, 0), 0), ((0, 1), 1), ((1, 0), 2), ((1, 1), 3)):
        assert (square[place] == x[row]).mean() > 0.98
    assert run(*words, "--rows", 0, 1, "--out", tmp_path / "two.png")[0] == 0
    with Image.open(tmp_path / "two.png") as image:
        assert image.size == (8 * (4 * 9 + 1), 8 * (9 + 1))


def test_examples_may_be_image_files(run: Run, folder: Path, tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (12, 4, 4), dtype=np.uint8)
    (tmp_path / "images").mkdir()
    files = [tmp_path / "images" / f"{i:02}.png" for i in range(12)]
    for file, pixels in zip(files, x, strict=True):
        Image.fromarray(pixels).save(file)
    options = ("--option", "channels=2", "--option", "blocks=0", "--option", "scales=1", "--steps", 1, "--no-report")
    assert run("fit", tmp_path / "images", "--out", tmp_path / "m", *options)[0] == 0
    words = ("interpolate", tmp_path / "m", *files[:4], "--steps", 4, "--out", tmp_path / "four.npy")
    code, _, err = run(*words)
    assert code == 0, err
    assert (np.load(tmp_path / "four.npy")[0, 0] == x[0]).mean() > 0.9


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "two or four"),
        (("--data", "digits"), 2, "two or four"),
        (("--data", "digits", "--rows", "1"), 2, "got 1"),
        (("--data", "digits", "--rows", "1", "2", "3"), 2, "got 3"),
        (("--data", "digits", "--rows", "1", "99999"), 3, "rows 0 to 1796"),
        (("--data", "digits", "--rows", "1", "2", "--steps", "1"), 2, "steps"),
        (("a.png", "b.png", "--data", "digits"), 2, "two or four"),
        (("a.png", "b.png"), 3, "a.png"),
    ],
)
def test_what_cannot_be_interpolated_is_refused(
    run: Run, image_model: Path, tmp_path: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    found, _, err = run("interpolate", image_model, *words, "--out", tmp_path / "x.png")
    assert found == code, err
    assert said in err
