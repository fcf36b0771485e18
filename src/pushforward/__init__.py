"""Normalizing flows you can evaluate, sample and trust.

The front page is short and lazy: importing the package loads nothing heavy, using one of these names does.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pushforward.version import __version__

if TYPE_CHECKING:
    from pushforward import flows
    from pushforward.diagnostics.check import check
    from pushforward.flow import Flow
    from pushforward.storage import load, save
    from pushforward.training import fit

__all__ = ["Flow", "__version__", "check", "fit", "flows", "load", "save"]

_WHERE = {
    "Flow": "pushforward.flow",
    "fit": "pushforward.training",
    "check": "pushforward.diagnostics",
    "save": "pushforward.storage",
    "load": "pushforward.storage",
}
_PACKAGES = (
    "bases",
    "data",
    "diagnostics",
    "evaluation",
    "flows",
    "inference",
    "maps",
    "nets",
    "report",
    "training",
    "transforms",
)


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    if name in _PACKAGES:
        return importlib.import_module(f"pushforward.{name}")
    raise AttributeError(f"module 'pushforward' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHERE, *_PACKAGES})
