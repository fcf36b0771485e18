"""A model whose weights are no numbers is exit code 4, whichever command reads it."""

from __future__ import annotations

import importlib
import inspect
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_models import Run

from pushforward import cli
from pushforward.storage import files


def _reads_a_model(command: str) -> bool:
    function = getattr(importlib.import_module(f"pushforward.cli.{command}"), command)
    return "model" in inspect.signature(function).parameters


COMMANDS = [command for command in cli._COMMANDS if _reads_a_model(command)]


@pytest.fixture(scope="module")
def broken(table_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sealed model with one weight that is NaN."""
    path = tmp_path_factory.mktemp("broken") / "m"
    shutil.copytree(table_model, path)
    weights = load_file(path / "model.safetensors")
    name = next(name for name, value in weights.items() if value.is_floating_point())
    weights[name].view(-1)[0] = torch.nan
    save_file(weights, path / "model.safetensors")
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["files"]["model.safetensors"] = files._sha256((path / "model.safetensors").read_bytes())
    (path / "manifest.json").write_text(json.dumps(manifest))
    return path


def test_some_commands_read_a_model() -> None:
    assert len(COMMANDS) >= 11


@pytest.mark.parametrize("command", COMMANDS)
def test_weights_that_are_nan_are_exit_code_4_for_every_command(
    run: Run, broken: Path, houses_csv: Path, command: str
) -> None:
    more = {
        "sweep": (), "sample": (), "info": (), "check": (), "interpolate": ("--rows", 0, 1, "--data", houses_csv),
        "manipulate": (houses_csv, "--label", 0),
    }.get(command, (houses_csv,))  # fmt: skip
    code, out, err = run(command, broken, *more)
    assert code == 4, err
    # The commands for models of tables refuse a flow before they read its weights.
    of_tables = command in ("predict", "impute")
    assert ("holds a flow, not a model of a table" if of_tables else "has NaN or infinite numbers") in err
    assert not out
