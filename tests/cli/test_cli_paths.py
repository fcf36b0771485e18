"""Every path on the command line that cannot be read or written ends in one sentence with its name, and the exit code
of its role."""

from __future__ import annotations

import errno
import importlib
import inspect
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from small_models import SMALL, Run

from pushforward import cli

# A command line for each role of a path in it, which stands where "@" is; {table} and {model} are good ones.
INPUTS = {
    "data": (
        "fit @ --out {out}",
        "fit {table} --test @ --out {out}",
        "score {model} @",
        "report {model} @",
        "check {model} @",
        "encode {model} @",
        "interpolate {model} --data @ --rows 0 1",
        "manipulate {model} @ --label 1",
        "reconstruct {model} @",
        "decode {model} @",
        "sample {conditional} --given @",
        "sample {density} --given @",
        "score {density} @",
        "predict {density} @ --target income",
        "impute {density} @",
        "report {density} @",
        "sweep {conditional} --given @ --out {out}.csv",
        "fit mnist --data-dir @ --out {out}",
    ),
    "model": tuple(
        f"{words} {more}".strip()
        for words, more in (
            ("score @", "{table}"),
            ("sample @", ""),
            ("predict @", "{table} --target area"),
            ("impute @", "{table}"),
            ("sweep @", "--out {out}.png"),
            ("interpolate @", "--data {table} --rows 0 1"),
            ("manipulate @", "{table} --label 1"),
            ("reconstruct @", "{table}"),
            ("report @", "{table}"),
            ("check @", ""),
            ("encode @", "{table}"),
            ("decode @", "{table}"),
            ("info @", ""),
        )
    ),
    "file of options": ("fit {table} --out {out} --config @", "flows --import @", "info {model} --import @"),
}
OUTPUTS = (
    "fit {table} --out @",
    "report {model} {table} --out @",
    *(f"{words} --out @" for words in ("score {model} {table}", "sample {model}", "encode {model} {table}")),
)
CODES = {"data": 3, "model": 4, "file of options": 2}


def _below_a_file(folder: Path) -> Path:
    (folder / "file.csv").write_text("a,b\n")
    return folder / "file.csv" / "x.csv"


def _long_name(folder: Path) -> Path:
    return folder / ("n" * 296 + ".csv")


def _empty_file(folder: Path) -> Path:
    (folder / "empty.csv").write_bytes(b"")
    return folder / "empty.csv"


def _folder(folder: Path) -> Path:
    (folder / "folder.csv").mkdir()
    return folder / "folder.csv"


def _dangling_link(folder: Path) -> Path:
    (folder / "link.csv").symlink_to(folder / "gone.csv")
    return folder / "link.csv"


def _missing(folder: Path) -> Path:
    return folder / "missing.csv"


PATHS: tuple[Callable[[Path], Path], ...] = (
    _below_a_file, _long_name, _empty_file, _folder, _dangling_link, _missing,
)  # fmt: skip


def _words(line: str, path: Path, **places: Path) -> list[str]:
    return [word.replace("@", str(path)).format(**places) for word in line.split()]


@pytest.mark.parametrize("make", PATHS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("role", INPUTS)
def test_an_input_that_cannot_be_read_is_named(
    role: str,
    make: Callable[[Path], Path],
    run: Run,
    tmp_path: Path,
    houses_csv: Path,
    table_model: Path,
    conditional_model: Path,
    density: Path,
) -> None:
    path = make(tmp_path)
    for line in INPUTS[role]:
        if make is _folder and "--data-dir" in line:
            continue  # a folder is what it takes
        if make is _empty_file and "--config" in line:
            continue  # a run file without options is one
        models = {"model": table_model, "conditional": conditional_model, "density": density}
        words = _words(line, path, table=houses_csv, out=tmp_path / "out", **models)
        code, _, err = run(*words)
        assert code == CODES[role], (line, err)
        assert path.name[:100] in err, (line, err)
        assert len(err.splitlines()) == 1, (line, err)
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("make", [_below_a_file, _long_name, _dangling_link], ids=lambda make: make.__name__)
def test_an_output_that_cannot_be_written_is_named_before_any_work(
    make: Callable[[Path], Path], run: Run, tmp_path: Path, houses_csv: Path, table_model: Path
) -> None:
    path = make(tmp_path)
    for line in OUTPUTS:
        code, out, err = run(*_words(line, path, table=houses_csv, model=table_model))
        assert code == 2, (line, err)
        assert str(path.name) in err, (line, err)
        assert (out, len(err.splitlines())) == ("", 1), (line, err)


def test_a_place_without_permission_is_named_before_any_work(
    run: Run, tmp_path: Path, houses_csv: Path, table_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The tests may run as root, who has every permission.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    for line in OUTPUTS:
        code, _, err = run(*_words(line, tmp_path / "a.csv", table=houses_csv, model=table_model))
        assert code == 1, (line, err)
        assert "a.csv" in err
        assert "no permission to write there" in err


def test_the_longest_name_that_a_folder_takes_is_written(run: Run, tmp_path: Path, table_model: Path) -> None:
    out = tmp_path / ("n" * 251 + ".csv")
    assert run("sample", table_model, "-n", "3", "--out", out)[0] == 0
    assert len(out.read_text().splitlines()) == 4


@pytest.mark.parametrize(("number", "code"), [(errno.ENOSPC, 1), (errno.EACCES, 1), (errno.ENOTDIR, 2)])
def test_an_error_of_the_system_is_a_sentence_with_the_file(
    number: int, code: int, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(number, os.strerror(number), "some/file")

    monkeypatch.setattr("pushforward.storage.load_model", fail)
    assert run("info", "m") == (code, "", f"pushforward: some/file: {os.strerror(number)}\n")


def test_every_command_that_takes_a_path_is_tried() -> None:
    tried = {line.split()[0] for lines in (*INPUTS.values(), OUTPUTS) for line in lines}
    for name in set(cli._COMMANDS) - tried:
        command = getattr(importlib.import_module(f"pushforward.cli.{name}"), name)
        assert {"model", "out", "latents"}.isdisjoint(inspect.signature(command).parameters), name


def test_long_contexts_are_read_as_values_and_not_as_a_path(run: Run, conditional_model: Path) -> None:
    code, _, err = run("sample", conditional_model, "--given", "age=" + "0" * 300 + "1", "-n", "2")
    assert code == 0, err


def test_fit_of_nothing_leaves_nothing(run: Run, tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({}), tmp_path / "none.parquet")
    code, _, err = run("fit", tmp_path / "none.parquet", "--out", tmp_path / "m", *SMALL)
    assert code == 3, err
    assert "none.parquet: the table has no columns" in err
    assert not (tmp_path / "m").exists()
