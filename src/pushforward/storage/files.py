"""The files of a saved model: each is written atomically, and verified against a manifest before it is used."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterable
from io import BufferedReader
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pushforward.atomic_files import flush_folder, require_place, stage, write_atomically
from pushforward.error_messages import first_problem
from pushforward.errors import ModelError, OptionError
from pushforward.storage.migration import FORMAT
from pushforward.version import __version__

CONFIG, WEIGHTS, SPLIT, MANIFEST = "config.json", "model.safetensors", "split.json", "manifest.json"

_SMALL_FILE = 1 << 20
_MOST_FILES = 64
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Manifest(BaseModel):
    """The content of `manifest.json`: the sha256, in hex, of each file of the model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int
    files: Annotated[dict[str, Annotated[str, Field(pattern=r"^[0-9a-f]{64}\z")]], Field(max_length=_MOST_FILES)]


def write_model(directory: Path, contents: dict[str, bytes]) -> None:
    """Write a model, given as its files, to ``directory``; a model that exists there is replaced.

    All files are on the disk before the first is replaced. The old manifest is removed first and the new one is written
    last: after an interrupted write `load` refuses the directory, which never mixes two models.
    """
    directory.mkdir(parents=True, exist_ok=True)
    contents = {**contents, MANIFEST: _manifest_of({name: _sha256(content) for name, content in contents.items()})}
    staged = {}
    try:
        for name, content in contents.items():
            staged[name] = stage(directory / name, content)
        clear(directory)
        for name, temporary in staged.items():
            temporary.replace(directory / name)
    finally:
        for temporary in staged.values():
            temporary.unlink(missing_ok=True)
    flush_folder(directory)


def add_file(path: str | os.PathLike[str], name: str, content: bytes) -> None:
    """Add a file (a report, the training's metrics) to a saved model, or replace it, and list it in the manifest.

    Raises ModelError if ``path`` is not a saved model, OptionError if ``name`` has a folder, is a file of the model
    itself, or is one too many.

    >>> import tempfile
    >>> from pushforward import flows, storage
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     storage.save(flows.build("nice", event_shape=(2,), hidden=(8,)), f"{directory}/model")
    ...     storage.add_file(f"{directory}/model", "notes.txt", b"trained on Monday")
    ...     model = storage.load_model(f"{directory}/model")
    """
    if not _PLAIN_NAME.fullmatch(name) or name in (CONFIG, WEIGHTS, SPLIT, MANIFEST):
        raise OptionError(f"a file name without a folder, other than those of the model itself, expected; got {name!r}")
    directory = Path(path)
    files = {**read_manifest(directory).files, name: _sha256(content)}
    if len(files) > _MOST_FILES:
        raise OptionError(f"{directory} has {_MOST_FILES} files, the most of a saved model; write to another folder")
    write_atomically(directory / name, content)
    write_atomically(directory / MANIFEST, _manifest_of(files))


def require_free(path: Path, force: bool) -> None:
    """Raise OptionError unless ``path`` can be created or is an empty directory (``force``: any directory)."""
    require_place(path)
    if path.exists() and not path.is_dir():
        raise OptionError(f"{path} is a file, but the model is saved to a folder; choose another name")
    if not force and path.is_dir() and any(path.iterdir()):
        raise OptionError(
            f"{path} is not empty; choose another folder, or replace its model with force (--force on the command line)"
        )


def verify(directory: Path) -> Manifest:
    """Verify every file against the manifest; raises ModelError with the name of the first missing or changed file."""
    # os.path, because a Path raises for a name that is too long.
    if not os.path.isdir(directory):
        raise ModelError(f"{directory}: no such folder; the folder of a saved model expected")
    manifest = read_manifest(directory)
    _require_whole(directory, manifest.files)
    for name, expected in manifest.files.items():
        with open_regular(directory / name) as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != expected:
                raise ModelError(f"{directory / name} was changed after the model was saved (its sha256 differs)")
    return manifest


def read_manifest(directory: Path) -> Manifest:
    """The manifest of the model in ``directory``; raises ModelError if it is missing or invalid."""
    where = directory / MANIFEST
    raw = read_object(where)
    try:
        manifest = Manifest.model_validate(raw)
    except ValidationError as error:
        raise ModelError(f"{where}: {first_problem(error)}") from None
    for name in manifest.files:
        if not _PLAIN_NAME.fullmatch(name) or name == MANIFEST:
            raise ModelError(f"{where}: names of files in the same folder expected, got {name[:100]!r}")
    return manifest


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a small file of a model; raises ModelError, also for an unknown format."""
    try:
        raw = json.loads(read(path))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: JSON expected ({type(error).__name__}: {error})") from error
    found = raw.get("format") if isinstance(raw, dict) else None
    if type(found) is not int or found < 1:
        raise ModelError(f"{path}: a JSON object with a format number expected")
    if found > FORMAT:
        raise ModelError(
            f"{path}: format {found} is newer than {FORMAT}, the newest that pushforward {__version__} reads; "
            "update pushforward"
        )
    return dict(raw)


def read(path: Path, limit: int = _SMALL_FILE) -> bytes:
    """The content of a file of at most ``limit`` bytes; raises ModelError."""
    with open_regular(path) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ModelError(f"{path}: at most {limit:,} bytes expected")
    return content


def open_regular(path: Path) -> BufferedReader:
    """A regular file, opened for reading; a link is not followed, because it could point outside the directory."""
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise ModelError(f"{path}: a regular file expected, not a link, folder or device")
        return path.open("rb")
    except FileNotFoundError:
        raise ModelError(f"{path} is missing") from None
    except PermissionError:
        raise ModelError(f"{path} cannot be read: permission denied") from None


def _require_whole(directory: Path, names: Iterable[str]) -> None:
    for name in (CONFIG, WEIGHTS):
        if name not in names:
            raise ModelError(f"{directory / MANIFEST}: {name} is not listed in it, so the model is incomplete")
    if SPLIT not in names and (directory / SPLIT).exists():
        raise ModelError(f"{directory / SPLIT} is not in the manifest; it does not belong to this model")


def clear(directory: Path) -> None:
    """Delete an existing model, its manifest first, so that none of its files can become part of the new one."""
    names = {CONFIG, WEIGHTS, SPLIT}
    if (directory / MANIFEST).exists():
        # A manifest that cannot be read is replaced nevertheless.
        with contextlib.suppress(ModelError):
            names |= set(read_manifest(directory).files)
        (directory / MANIFEST).unlink()
    for name in names:
        (directory / name).unlink(missing_ok=True)


def _manifest_of(files: dict[str, str]) -> bytes:
    manifest = Manifest(format=FORMAT, files=dict(sorted(files.items())))
    return manifest.model_dump_json(indent=2).encode() + b"\n"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
