"""Writing the best weights while training goes on, so that a run which is killed loses little."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import save

from pushforward.atomic_files import write_atomically
from pushforward.training.averaging import Snapshot


def write_weights(snapshot: Snapshot, path: Path) -> None:
    """Write a snapshot as safetensors, whole or not at all."""
    write_atomically(path, save({name: value.contiguous() for name, value in snapshot.state.items()}))
