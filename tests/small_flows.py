"""Small flows of every architecture on vectors of any length."""

from __future__ import annotations

from typing import Any

from pushforward import flows
from pushforward.flow import Flow
from registry import ENTRIES
from subjects import built

_SMALL: dict[str, Any] = {"transforms": 1, "hidden": (4,)}


def vector_architectures() -> list[str]:
    """The names of the architectures on vectors."""
    return [name for name in flows.names() if "vectors" in flows.describe(name).recipes]


def small_flow(name: str, features: int) -> Flow:
    """A flow with the options of an entry of the registry, made smaller."""
    entry = next(e for e in ENTRIES if e.architecture == name and len(e.event_shape) == 1 and e.context is None)
    config = built(entry.name).config
    assert config is not None
    options = {**config.options, **{key: value for key, value in _SMALL.items() if key in config.options}}
    return flows.build(name, features, options=None, **options)
