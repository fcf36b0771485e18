"""The files of a saved model: each written whole or not at all, and compared with a manifest before it is believed."""

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
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Manifest(BaseModel):
    """What `manifest.json` holds: the sha256, in hex, of each file of the model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int
    files: Annotated[dict[str, Annotated[str, Field(pattern=r"^[0-9a-f]{64}\z")]], Field(max_length=64)]


def write_model(directory: Path, contents: dict[str, bytes]) -> None:
    """Make ``directory`` the model that consists of these files, in the place of a model that is there.

    Everything is on the disk before anything is replaced; then the old manifest goes first and the new one comes last,
    so that a write which is cut off leaves a directory that is refused, never one that is a mixture.
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
    """Add a file (a report, the training's metrics) to a saved model, or replace it, and enter it in the manifest.

    Raises ModelError if ``path`` is not a saved model, OptionError if ``name`` is not a plain name or one of its own.

    >>> import tempfile
    >>> from pushforward import flows, storage
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     storage.save(flows.build("nice", event_shape=(2,), hidden=(8,)), f"{directory}/model")
    ...     storage.add_file(f"{directory}/model", "notes.txt", b"trained on Monday")
    ...     model = storage.load_model(f"{directory}/model")
    """
    if not _PLAIN_NAME.fullmatch(name) or name in (CONFIG, WEIGHTS, SPLIT, MANIFEST):
        raise OptionError(f"a plain file name that is not the model's own expected, got {name!r}")
    directory = Path(path)
    files = {**read_manifest(directory).files, name: _sha256(content)}
    write_atomically(directory / name, content)
    write_atomically(directory / MANIFEST, _manifest_of(files))


def require_free(path: Path, force: bool) -> None:
    """Raise OptionError unless ``path`` can be made, or is a directory that is empty or, with ``force``, any."""
    require_place(path)
    if path.exists() and not path.is_dir():
        raise OptionError(f"{path} is a file; a folder to save the model in was expected")
    if not force and path.is_dir() and any(path.iterdir()):
        raise OptionError(
            f"{path} is not empty; choose another folder, or replace what is there with force "
            "(--force on the command line)"
        )


def verify(directory: Path) -> Manifest:
    """Compare every file with the manifest; raises ModelError that names the first that is missing or was changed."""
    # os.path, because a Path raises for a name that is too long.
    if not os.path.isdir(directory):
        raise ModelError(f"{directory}: no saved model here, it is not a folder")
    manifest = read_manifest(directory)
    _require_whole(directory, manifest.files)
    for name, expected in manifest.files.items():
        with open_regular(directory / name) as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != expected:
                raise ModelError(f"{directory / name} was changed since the model was saved (its sha256 differs)")
    return manifest


def read_manifest(directory: Path) -> Manifest:
    """The manifest of the model in ``directory``; raises ModelError if it is missing or not one."""
    where = directory / MANIFEST
    raw = read_object(where)
    try:
        manifest = Manifest.model_validate(raw)
    except ValidationError as error:
        raise ModelError(f"{where}: {first_problem(error)}") from None
    for name in manifest.files:
        if not _PLAIN_NAME.fullmatch(name) or name == MANIFEST:
            raise ModelError(f"{where}: plain names of files beside it expected, got {name[:100]!r}")
    return manifest


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a small file of a model, of a format that is known here; raises ModelError."""
    try:
        raw = json.loads(read(path))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: JSON expected ({type(error).__name__}: {error})") from error
    found = raw.get("format") if isinstance(raw, dict) else None
    if type(found) is not int or found < 1:
        raise ModelError(f"{path}: an object with its format number expected")
    if found > FORMAT:
        raise ModelError(
            f"{path}: format {found} is newer than {FORMAT}, the newest that pushforward {__version__} reads; update it"
        )
    return dict(raw)


def read(path: Path, limit: int = _SMALL_FILE) -> bytes:
    """A file of at most ``limit`` bytes; raises ModelError."""
    with open_regular(path) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ModelError(f"{path}: at most {limit:,} bytes expected")
    return content


def open_regular(path: Path) -> BufferedReader:
    """A regular file, opened to read; a link is not followed, because it could lead out of the directory."""
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
            raise ModelError(f"{directory / MANIFEST}: {name} is not in it, so this is not a whole model")
    if SPLIT not in names and (directory / SPLIT).exists():
        raise ModelError(f"{directory / SPLIT} is not in the manifest; it does not belong to this model")


def clear(directory: Path) -> None:
    """Take away a model that is there, its manifest first, so that none of its files can pass for the new one's."""
    names = {CONFIG, WEIGHTS, SPLIT}
    if (directory / MANIFEST).exists():
        # A manifest that cannot be read is replaced all the same.
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
