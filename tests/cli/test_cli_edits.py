"""`sweep`, `manipulate` and `reconstruct`: what becomes of pictures when their latents are changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_models import TINY_IMAGES, Run

from pushforward.cli import main
from pushforward.data import load


@pytest.fixture(scope="session")
def two_scales(folder: Path) -> Path:
    """Digits, with a latent of two scales."""
    out = folder / "two-scales"
    words = [word.replace("scales=1", "scales=2") for word in TINY_IMAGES]
    assert main(["fit", "digits", "--limit", "60", "--no-report", "--out", str(out), *words]) == 0
    return out


def test_a_sweep_has_a_line_for_each_temperature(run: Run, image_model: Path, tmp_path: Path) -> None:
    words = ("sweep", image_model, "-n", 3, "--temperatures", 0.5, 1.0)
    assert run(*words, "--out", tmp_path / "s.png")[0] == 0
    with Image.open(tmp_path / "s.png") as image:
        assert image.size == (8 * (3 * 9 + 1), 8 * (2 * 9 + 1))
    assert run(*words, "--out", tmp_path / "s.npy")[0] == 0
    assert np.load(tmp_path / "s.npy").shape == (6, 1, 8, 8)


def test_a_sweep_of_classes_names_them(run: Run, labelled_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "s.csv"
    assert run("sweep", labelled_model, "-n", 2, "--class", 3, 7, "--temperatures", 1, "--out", out)[0] == 0
    assert [line.rsplit(",", 1)[1] for line in out.read_text().splitlines()] == ["class", "3", "7", "3", "7"]


def test_a_table_can_be_swept_too(run: Run, table_model: Path) -> None:
    code, out, _ = run("sweep", table_model, "-n", 2)
    assert code == 0
    assert len(out.splitlines()) == 1 + 6 * 2


def test_without_an_amount_of_the_attribute_an_example_stays(run: Run, image_model: Path, tmp_path: Path) -> None:
    words = ("manipulate", image_model, "digits", "--label", 3, "--against", 8, "--most", 20)
    assert run(*words, "--rows", 5, 9, "--amounts", 0, 1, "--out", tmp_path / "a.npy")[0] == 0
    sheet = np.load(tmp_path / "a.npy").reshape(2, 2, 1, 8, 8)
    assert (sheet[:, 0] == load("digits").x[[5, 9]]).mean() > 0.98
    assert (sheet[:, 1] != sheet[:, 0]).any()
    assert run(*words, "--rows", 5, 9, "--amounts", 1, 0, "--out", tmp_path / "b.npy")[0] == 0
    assert np.array_equal(np.load(tmp_path / "b.npy").reshape(2, 2, 1, 8, 8), sheet[:, ::-1])
    assert run(*words, "--out", tmp_path / "a.png")[0] == 0
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (8 * (5 * 9 + 1), 8 * (4 * 9 + 1))


def test_images_are_rebuilt_from_their_coarse_latents(run: Run, two_scales: Path, tmp_path: Path) -> None:
    words = ("reconstruct", two_scales, "digits", "--rows", 5, 9)
    assert run(*words, "--out", tmp_path / "r.npy")[0] == 0
    sheet = np.load(tmp_path / "r.npy").reshape(2, 3, 1, 8, 8)
    assert (sheet[:, 0] == load("digits").x[[5, 9]]).mean() > 0.98
    drawn = []
    for temperature in (1e-3, 2e-3, 1.0):
        assert run(*words, "--keep", 0, "--temperature", temperature, "--out", tmp_path / "k.npy", "--force")[0] == 0
        drawn.append(np.load(tmp_path / "k.npy").astype(int))
    # Close to 0 all draws are the one in the middle.
    assert np.abs(drawn[0] - drawn[1]).mean() < 0.1 < np.abs(drawn[0] - drawn[2]).mean()
    assert run(*words, "--keep", 1, "--temperature", 0.5, "--out", tmp_path / "r.png")[0] == 0
    with Image.open(tmp_path / "r.png") as image:
        assert image.size == (8 * (9 + 1), 8 * (2 * 9 + 1))


@pytest.mark.parametrize(
    ("model", "words", "code", "said"),
    [
        ("image_model", ("sweep", "-n", "0"), 2, "at least 1"),
        ("image_model", ("sweep", "--temperatures", "0"), 2, "temperature must be above 0"),
        ("image_model", ("sweep", "-n", "999999999"), 2, "at most"),
        ("image_model", ("manipulate", "digits", "--label", "30"), 3, "--label 30"),
        ("image_model", ("manipulate", "digits", "--label", "3", "--against", "30"), 3, "--against 30"),
        ("image_model", ("manipulate", "digits", "--label", "3", "--against", "3"), 2, "another --against"),
        ("image_model", ("manipulate", "digits", "--label", "3", "--rows", "99999"), 3, "rows from 0 to 1796"),
        ("image_model", ("manipulate", "digits"), 2, "label"),
        ("image_model", ("reconstruct", "digits"), 2, "several scales"),
        ("two_scales", ("reconstruct", "digits", "--keep", "3"), 2, "from 0 to 2"),
        ("two_scales", ("reconstruct", "digits", "--temperature", "0"), 2, "temperature"),
        ("two_scales", ("reconstruct", "digits", "--rows", "-1"), 3, "rows from 0 to 1796"),
    ],
)
def test_what_cannot_be_edited_is_a_sentence(
    run: Run,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    model: str,
    words: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    path = request.getfixturevalue(model)
    got, out, err = run(words[0], path, *words[1:], "--out", tmp_path / "x.png")
    assert (got, out) == (code, ""), err
    assert said in err
    assert not list(tmp_path.iterdir())


def test_attributes_need_classes(run: Run, table_model: Path, houses_csv: Path) -> None:
    code, _, err = run("manipulate", table_model, houses_csv, "--label", 1)
    assert code == 3
    assert "no class labels" in err
