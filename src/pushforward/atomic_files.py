"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pushforward.errors import OptionError

# Of the name of a temporary file, so that the whole is a name wherever the final one is.
_PREFIX_BYTES = 100


def require_place(path: Path) -> None:
    """Raise OptionError where ``path`` cannot be made or replaced, PermissionError where writing is not permitted.

    Its folder need not exist yet.
    """
    if "\0" in str(path):
        raise OptionError(f"{str(path)!r}: a name without NUL characters expected")
    if os.path.lexists(path) and not os.path.exists(path):
        raise OptionError(f"{path} is a link to a place that is not there; choose another name")
    above = next(folder for folder in (path.absolute(), *path.absolute().parents) if os.path.lexists(folder))
    folder = path.absolute().parent if above == path.absolute() else above
    if not os.path.isdir(folder):
        raise OptionError(f"{path}: {folder} is a file, no folder, so that nothing can lie below it")
    longest = os.pathconf(folder, "PC_NAME_MAX")
    for name in path.absolute().relative_to(folder).parts:
        size = len(os.fsencode(name))
        if size > longest:
            raise OptionError(f"{path}: a name of at most {longest} bytes expected, got {size}; choose a shorter one")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "no permission to write there", str(path))


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` to another name in the same folder, flush it to the disk, and rename it to ``path``."""
    with open_atomically(path) as file:
        file.write(content)


@contextmanager
def open_atomically(path: Path) -> Iterator[BinaryIO]:
    """A context with a file to write to, which has the name ``path`` only if the context ends without an error."""
    with _temporary(path) as (temporary, file):
        yield file
    temporary.replace(path)
    flush_folder(path.parent)


def stage(path: Path, content: bytes) -> Path:
    """Write ``content`` to a temporary file next to ``path``, flush it to the disk, and return its path."""
    with _temporary(path) as (temporary, file):
        file.write(content)
    return temporary


@contextmanager
def _temporary(path: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """A temporary file next to ``path``, flushed to the disk at the end and removed after an error."""
    prefix = os.fsdecode(os.fsencode(path.name)[:_PREFIX_BYTES])
    temporary = path.with_name(f".{prefix}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield temporary, file
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def flush_folder(folder: Path) -> None:
    """Flush the names of the files in ``folder`` to the disk, so that a rename outlives a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
