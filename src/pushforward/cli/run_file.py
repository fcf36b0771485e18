"""What one `pushforward fit` is to do: from a TOML file and from the command line, which wins."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pushforward.errors import OptionError

_MAX_FILE = 1 << 20


class Run(BaseModel):
    """Everything that `fit` can be told; a run file has the same names, options of the flow in a table ``[option]``
    and of the training in a table ``[training]``. Paths are relative to where the command runs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: str
    out: Path
    flow: str | None = None
    option: dict[str, Any] = {}
    training: dict[str, Any] = {}
    minutes: float | None = None
    epochs: float | None = None
    steps: int | None = None
    test: str | None = None
    labels: bool = False
    report: bool = True
    force: bool = False

    columns: tuple[str, ...] | None = None
    context: tuple[str, ...] | None = None
    data_dir: Path | None = None
    bits: int | None = None
    resize: int | None = None
    crop: tuple[int, int, int, int] | None = None
    grey: bool = False
    limit: int | None = None

    device: str | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    threads: int | None = None

    @classmethod
    def merged(cls, file: Path | None, given: dict[str, Any]) -> Run:
        """The file's values with those ``given`` on the command line over them; tables are joined name by name.

        Raises OptionError for a file that cannot be read, an unknown name, a value of the wrong kind, or a missing one.
        """
        values = {} if file is None else _read(file)
        for name in ("option", "training"):
            if isinstance(values.get(name), dict) and name in given:
                given = {**given, name: {**values[name], **given[name]}}
        try:
            return cls(**{**values, **given})
        except ValidationError as error:
            raise OptionError(_sentence(error, file)) from None

    def limits(self) -> dict[str, Any]:
        """The limits of the training that were given, wherever."""
        named = {name: getattr(self, name) for name in ("minutes", "epochs", "steps")}
        return {name: value for name, value in named.items() if value is not None}


def pairs(given: Sequence[str] | None, flag: str) -> dict[str, Any]:
    """``NAME=VALUE`` words as a dict. A value is JSON, words separated by commas, or text.

    Raises OptionError for a word without "=".
    """
    found: dict[str, Any] = {}
    for word in given or ():
        name, equals, text = word.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not name:
            raise OptionError(f"{flag}: NAME=VALUE expected, got {word!r}")
        found[name] = _value(text.strip())
    return found


def as_lists(values: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    """``values`` with a single value made a list where the pydantic field of that name wants several."""
    return {
        name: [value]
        if isinstance(value, int | float) and name in fields and _is_tuple(fields[name].annotation)
        else value
        for name, value in values.items()
    }


def _value(text: str) -> Any:
    try:
        return None if text in ("none", "None") else json.loads(text)
    except ValueError:
        return [_value(part.strip()) for part in text.split(",")] if "," in text else text


def _is_tuple(annotation: Any) -> bool:
    return get_origin(annotation) is tuple or any(get_origin(part) is tuple for part in get_args(annotation))


def _read(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > _MAX_FILE:
            raise OptionError(f"{file}: a run file of at most {_MAX_FILE:,} bytes expected")
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise OptionError(f"{file}: the run file cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise OptionError(f"{file}: not valid TOML ({error})") from None


def _sentence(error: ValidationError, file: Path | None) -> str:
    first = error.errors()[0]
    name = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, Run.model_fields, n=3, cutoff=0.5) or list(Run.model_fields)
        return f"{file}: {name!r} is not known; near it: {', '.join(near)}"
    if first["type"] == "missing":
        word = "DATA" if name == "data" else "--out DIR" if name == "out" else name
        return f"{word} is missing: name it on the command line{' or in the run file' if file else ''}"
    return f"{name}: {first['msg']} (got {first['input']!r})"
