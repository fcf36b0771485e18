"""An option is written in one place: the command line, run files and saved models take it from there."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from small_models import Run

from pushforward import flows, storage
from pushforward.cli.run_file import Run as RunFile
from pushforward.data import load
from pushforward.errors import OptionError
from pushforward.preparation import Preparation

# One value that differs from the default for each option of reading: (on the command line, in a run file, its value).
VALUES = {
    "test": ("b.csv", '"b.csv"', "b.csv"),
    "columns": ("a,b", '["a", "b"]', ("a", "b")),
    "context": ("c", '["c"]', ("c",)),
    "labels": ("", "true", True),
    "bits": ("5", "5", 5),
    "resize": ("8", "8", 8),
    "crop": ("0 8 0 8", "[0, 8, 0, 8]", (0, 8, 0, 8)),
    "grey": ("", "true", True),
    "limit": ("9", "9", 9),
}


@pytest.mark.parametrize("name", [option.name for option in fields(Preparation)])
def test_an_option_of_reading_is_one_of_the_command_line_of_run_files_and_of_saved_models(
    name: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, text, value = VALUES[name]
    expected, runs = Preparation.of({name: value}), []
    monkeypatch.setattr("pushforward.cli.fitting.run_fit", runs.append)
    assert run("fit", f"--{name}", *words.split())[0] == 0
    (tmp_path / "run.toml").write_text(f"{name} = {text}\n")
    assert run("fit", "--config", tmp_path / "run.toml")[0] == 0
    assert [given.preparation for given in runs] == [expected, expected]

    flow = flows.build("nice", (2,), transforms=2, hidden=(4,))
    data = {"name": "a", "kind": "table", "rows": 5, "fingerprint": "0", "preparation": expected}
    storage.save(flow, tmp_path / "m", data=data)
    saved = storage.load_model(tmp_path / "m").config.data
    assert saved is not None
    assert saved.preparation == expected


def test_a_misspelt_option_of_reading_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(OptionError, match="no option 'limits'; did you mean limit"):
        load("spirals", limits=3)
    with pytest.raises(OptionError, match="put the options into the preparation"):
        load("spirals", Preparation(), limit=3)


def test_the_command_line_wins_in_every_group_of_options(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text("seed = 4\nthreads = 2\nbits = 3\ngrey = true\nreport = false\n")
    given = RunFile(report=True, preparation=Preparation(bits=5))
    merged = given.over(tmp_path / "run.toml")
    assert (merged.running.seed, merged.running.threads, merged.report) == (4, 2, True)
    assert merged.preparation == Preparation(bits=5, grey=True)


@pytest.mark.parametrize("name", ["preparation", "running", "config"])
def test_a_run_file_has_the_names_of_the_command_line_only(tmp_path: Path, name: str) -> None:
    (tmp_path / "run.toml").write_text(f"[{name}]\nbits = 5\n")
    with pytest.raises(OptionError, match=f"'{name}' is not known"):
        RunFile().over(tmp_path / "run.toml")
