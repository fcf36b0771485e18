"""Fitting a flow to data by maximum likelihood. The options load without torch; `fit` loads it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pushforward.training.options import TrainingOptions

if TYPE_CHECKING:
    from pushforward.training.fit_to_data import fit
    from pushforward.training.result import FitFailed, FitResult

__all__ = ["FitFailed", "FitResult", "TrainingOptions", "fit"]

_WHERE = {
    "fit": "pushforward.training.fit_to_data",
    "FitFailed": "pushforward.training.result",
    "FitResult": "pushforward.training.result",
}


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'pushforward.training' has no attribute {name!r}")
