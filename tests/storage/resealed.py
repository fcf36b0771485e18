"""Saved models changed after the fact, by someone who writes the manifest anew so that they pass."""

import json
from pathlib import Path

from pushforward.storage import files


def reseal(path: Path) -> None:
    """Write the manifest anew."""
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["files"] = {
        name: files._sha256((path / name).read_bytes()) for name in manifest["files"] if (path / name).exists()
    }
    (path / "manifest.json").write_text(json.dumps(manifest))


def edit_config(path: Path, *keys: str, value: object) -> None:
    config = json.loads((path / "config.json").read_text())
    part = config
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] = value
    (path / "config.json").write_text(json.dumps(config))
    reseal(path)
