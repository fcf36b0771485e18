"""Small saved models and the data that they were fitted to, made through the command line itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_models import SMALL, TINY_IMAGES, Run, write_csv
from table_models import QUICK, write_shops

from pushforward.cli import main


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command line in this process: exit code, stdout, stderr."""

    def call(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture(scope="session")
def houses() -> dict[str, np.ndarray]:
    """Three columns that hang together."""
    rng = np.random.default_rng(0)
    area = rng.normal(100, 20, 120)
    return {"area": area, "price": 3 * area + rng.normal(0, 10, 120), "age": rng.uniform(0, 50, 120)}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def houses_csv(folder: Path, houses: dict[str, np.ndarray]) -> Path:
    return write_csv(folder / "houses.csv", houses)


@pytest.fixture(scope="session")
def table_model(folder: Path, houses_csv: Path) -> Path:
    """Area and price, unconditional."""
    out = folder / "table"
    assert main(["fit", str(houses_csv), "--columns", "area,price", "--out", str(out), *SMALL]) == 0
    return out


@pytest.fixture(scope="session")
def conditional_model(folder: Path, houses_csv: Path) -> Path:
    """Area and price given age."""
    out = folder / "conditional"
    assert main(["fit", str(houses_csv), "--context", "age", "--out", str(out), *SMALL]) == 0
    return out


@pytest.fixture(scope="session")
def image_model(folder: Path) -> Path:
    out = folder / "image"
    assert main(["fit", "digits", "--limit", "60", "--no-report", "--out", str(out), *TINY_IMAGES]) == 0
    return out


@pytest.fixture(scope="session")
def labelled_model(folder: Path) -> Path:
    """Digits given their class."""
    out = folder / "labelled"
    words = ["fit", "digits", "--limit", "60", "--labels", "--no-report", "--out", str(out), *TINY_IMAGES]
    assert main(words) == 0
    return out


@pytest.fixture(scope="session")
def shops_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shops(tmp_path_factory.mktemp("data") / "shops.csv")


@pytest.fixture(scope="session")
def density(tmp_path_factory: pytest.TempPathFactory, shops_csv: Path) -> Path:
    out = tmp_path_factory.mktemp("models") / "density"
    assert main(["fit", str(shops_csv), "--out", str(out), "--weight", "weight", *QUICK]) == 0
    return out


@pytest.fixture(scope="session")
def regressor(tmp_path_factory: pytest.TempPathFactory, shops_csv: Path) -> Path:
    out = tmp_path_factory.mktemp("models") / "regressor"
    assert main(["fit", str(shops_csv), "--out", str(out), "--target", "income,staff", *QUICK]) == 0
    return out
