"""What `pushforward fit` stores beside the model of a table: facts about the fit."""

from __future__ import annotations

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


def store_facts(folder: Path, facts: dict[str, Any]) -> None:
    """Store facts with a saved model."""
    storage.add_file(folder, _FACTS, json.dumps({"format": 1, **facts}, indent=1).encode() + b"\n")


def read_facts(folder: Path) -> dict[str, Any]:
    """The facts; none for a model that Python saved."""
    return read_object(folder / _FACTS) if (folder / _FACTS).exists() else {}


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
