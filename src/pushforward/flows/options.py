"""What every architecture's options share, and what the registry knows of an architecture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from pushforward.errors import OptionError
from pushforward.events import Shape
from pushforward.flow import Flow


class Options(BaseModel):
    """Base of every architecture's options: unknown names are refused, values are validated and cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Architecture:
    """One published architecture: its name, its options, how it is built and when to choose it.

    build: called as ``build(event_shape, context_dim, options)``. summary: one line; when: one sentence.
    """

    name: str
    options: type[Options]
    build: Callable[[Shape, int, Any], Flow]
    summary: str
    when: str
    source: str


def refuse_unused(options: Options, names: tuple[str, ...], why: str) -> None:
    """Raise OptionError where one of the options that have no use here was set to something else than its default."""
    for name in names:
        value = getattr(options, name)
        if value != type(options).model_fields[name].default:
            raise OptionError(f"option {name}={value!r} has no use here: {why}; leave it out")


def validated(architecture: Architecture, options: dict[str, Any]) -> Options:
    """``options`` checked against the architecture's own; raises OptionError with the first thing that is wrong."""
    try:
        return architecture.options(**options)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"])) or "options"
        if first["type"] == "extra_forbidden":
            known = ", ".join(architecture.options.model_fields)
            message = f"{architecture.name} has no option {name!r}; it has {known}"
        else:
            message = f"{architecture.name}: option {name}: {first['msg']} (got {first['input']!r})"
        raise OptionError(message) from None
