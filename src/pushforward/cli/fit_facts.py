"""What `pushforward fit` stores beside the model of a table: facts about the fit."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pushforward import storage
from pushforward.error_messages import first_problem
from pushforward.errors import ModelError
from pushforward.estimators.drift import Marginals
from pushforward.storage.files import read, read_object

_FACTS, _MARGINALS = "fit.json", "marginals.json"
_MAX_FILE = 1 << 28
# Bytes at each end of a file that tell it from others.
_END = 1 << 26


def store_facts(folder: Path, facts: dict[str, Any]) -> None:
    """Store facts with a saved model."""
    storage.add_file(folder, _FACTS, json.dumps({"format": 1, **facts}, indent=1).encode() + b"\n")


def read_facts(folder: Path) -> dict[str, Any]:
    """The facts; none for a model that Python saved."""
    return read_object(folder / _FACTS) if (folder / _FACTS).exists() else {}


def fingerprint(path: Path) -> str:
    """sha256 of the names, sizes and bytes of a file, or of the files in a folder; of a large file, of its two ends."""
    digest = hashlib.sha256()
    for part in sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]:
        size = part.stat().st_size
        digest.update(f"{part.relative_to(path)} {size} ".encode())
        with part.open("rb") as file:
            digest.update(file.read(_END))
            file.seek(max(file.tell(), size - _END))
            digest.update(file.read(_END))
    return digest.hexdigest()


def training_rows_note(model: Path, file: Path) -> str:
    """A sentence for a file whose rows, or some of them, trained a model; empty for any other."""
    facts = read_facts(model)
    if "source" in facts and facts["source"] == fingerprint(file.expanduser()):
        return (
            f"these are the data of the fit, and {facts['rows']:,} of their rows trained the model, so that its scores "
            "are too high for new rows"
        )
    if "source" not in facts and facts.get("data") == file.name:
        return f"the model was fitted to rows of a file of the name {file.name}, which may be among these"
    return ""


def read_marginals(folder: Path) -> list[Marginals]:
    """The distributions of the columns of each plan, which old versions stored beside the model. Raises ModelError."""
    if not (folder / _MARGINALS).exists():
        return []
    try:
        return [Marginals.model_validate(each) for each in json.loads(read(folder / _MARGINALS, _MAX_FILE))]
    except ValidationError as error:
        raise ModelError(f"{folder / _MARGINALS}: {first_problem(error)}") from None
    except (ValueError, TypeError, RecursionError) as error:
        raise ModelError(f"{folder / _MARGINALS}: a list of distributions expected ({error})") from None
