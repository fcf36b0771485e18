"""Writing the best weights while training goes on, so that a run which is killed loses little."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from safetensors.torch import save

from pushforward.training.averaging import Snapshot


def write_weights(snapshot: Snapshot, path: Path) -> None:
    """Write a snapshot as safetensors: to a temporary name beside ``path``, flushed to disk, and renamed."""
    content = save({name: value.contiguous() for name, value in snapshot.state.items()})
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
