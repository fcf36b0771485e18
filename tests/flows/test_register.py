"""A user's own architecture: one call registers it, and it works wherever a name does."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

import pushforward
from pushforward import flows
from pushforward.cli import main
from pushforward.errors import ModelError, OptionError
from pushforward.flows import registry
from shear import SHEAR


@pytest.fixture
def own() -> Iterator[None]:
    """Forgets afterwards what a test registers."""
    before = dict(registry._ARCHITECTURES)
    yield
    registry._ARCHITECTURES.clear()
    registry._ARCHITECTURES.update(before)


@pytest.fixture
def file(tmp_path: Path, own: None) -> Path:
    """A file whose code registers `shear`."""
    path = tmp_path / "shear.py"
    path.write_text(f"{SHEAR}\nregister(ARCHITECTURE)\n")
    return path


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an empty package named `own_architectures`."""
    folder = tmp_path / "own_architectures"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.startswith("own_architectures")]:
        monkeypatch.delitem(sys.modules, name)
    return folder


def _call(*words: object) -> int:
    return main([str(word) for word in words])


def test_a_registered_architecture_is_built_fitted_saved_and_loaded(package: Path, tmp_path: Path, own: None) -> None:
    (package / "shear.py").write_text(SHEAR)
    flows.register(registry.discover(import_module("own_architectures"))["shear"])
    assert "shear" in flows.names("vectors")
    assert "shear" not in flows.names("images")
    flow = flows.build("shear", (3,), context_dim=2, transforms=1, base="logistic")
    x, context = torch.randn(64, 3), torch.randn(64, 2)
    pushforward.fit(flow, x, context=context, options=pushforward.TrainingOptions(steps=3), progress=False)
    pushforward.save(flow, tmp_path / "m")
    again = pushforward.load(tmp_path / "m")
    assert torch.equal(again.likelihood(x, context).value, flow.likelihood(x, context).value)
    assert again.config == flow.config
    with pytest.raises(OptionError, match=r"shear on vectors has no option 'transform'; did you mean transforms\?"):
        flows.build("shear", (3,), transform=1)


def test_a_file_in_the_folder_of_architectures_is_enough(package: Path) -> None:
    (package / "shear.py").write_text(SHEAR)
    (package / "plain.py").write_text(SHEAR.replace('"shear"', '"plain"'))
    assert list(registry.discover(import_module("own_architectures"))) == ["plain", "shear"]


def test_a_module_is_named_after_its_architecture(package: Path) -> None:
    (package / "tilt.py").write_text(SHEAR)
    with pytest.raises(OptionError, match=r"own_architectures\.tilt holds an architecture named 'shear'"):
        registry.discover(import_module("own_architectures"))


def test_a_name_is_registered_once_and_has_a_recipe(own: None) -> None:
    with pytest.raises(OptionError, match="flow 'maf' is registered already; choose another name"):
        flows.register(flows.describe("maf"))
    with pytest.raises(OptionError, match="'bare' has neither a recipe for vectors nor one for images"):
        flows.register(flows.Architecture("bare", "nothing", "Never.", "none"))
    assert "bare" not in flows.names()


def test_the_command_line_imports_files_of_architectures(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = np.random.default_rng(0).normal(size=(60, 2))
    data, model = tmp_path / "rows.csv", tmp_path / "model"
    np.savetxt(data, rows, delimiter=",", header="a,b", comments="")
    fit = ("fit", data, "--out", model, "--flow", "shear", "--steps", 3, "--no-report")
    assert _call(*fit) == 2
    assert "flow 'shear' is not known" in capsys.readouterr().err
    assert _call(*fit, "--import", file, "--option", "transforms=1") == 0
    registry._ARCHITECTURES.pop("shear")
    capsys.readouterr()
    assert _call("score", model, data) == 4
    told = capsys.readouterr().err
    assert "flow 'shear' is not known" in told
    assert "--import FILE" in told
    with pytest.raises(ModelError, match=r"'shear' is not known.* pushforward\.flows\.register"):
        pushforward.load(model)
    for command, *words in (("score", model, data), ("sample", model, "-n", 2), ("info", model), ("flows", "shear")):
        assert _call(command, "--import", file, *words) == 0
        registry._ARCHITECTURES.pop("shear")
    assert "Options on vectors:" in capsys.readouterr().out


def test_files_that_cannot_be_imported_are_refused_by_name(
    tmp_path: Path, own: None, capsys: pytest.CaptureFixture[str]
) -> None:
    broken, text = tmp_path / "broken.py", tmp_path / "text.txt"
    broken.write_text("raise KeyError('no such thing')")
    text.write_text("")
    for path, said in (
        (broken, "broken.py: KeyError: 'no such thing'"),
        (text, "a Python file ending in .py expected"),
        (tmp_path / "none.py", "none.py: the file cannot be read"),
    ):
        assert _call("flows", "--import", path) == 2
        assert said in capsys.readouterr().err


def test_a_run_file_names_no_code_to_run(tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("imports", "import"):
        (tmp_path / "run.toml").write_text(f'data = "moons"\n{name} = ["{file}"]\n')
        assert _call("fit", "--config", tmp_path / "run.toml", "--out", tmp_path / "m") == 2
        assert f"'{name}' is not known" in capsys.readouterr().err
    assert "shear" not in flows.names()
