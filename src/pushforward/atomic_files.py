"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` to another name in the same folder, flush it to the disk, and rename it to ``path``."""
    stage(path, content).replace(path)
    flush_folder(path.parent)


def stage(path: Path, content: bytes) -> Path:
    """Write ``content`` to a temporary file beside ``path``, flush it to the disk, and return its path."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def flush_folder(folder: Path) -> None:
    """Flush the names of the files in ``folder`` to the disk, so that a rename outlives a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
