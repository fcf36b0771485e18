"""Variational inference: a flow fitted to an unnormalised log-density, and importance sampling with the fitted flow.

The options load without torch. `pushforward.training` provides the run itself: optimiser, schedule, limits, averaging,
recovery, progress, Ctrl-C. This package imports `pushforward.training`, never the reverse.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pushforward.inference.options import InferenceOptions

if TYPE_CHECKING:
    from pushforward.inference import energies
    from pushforward.inference.fit_to_density import fit
    from pushforward.inference.importance_sampling import Importance, importance
    from pushforward.inference.result import InferenceResult
    from pushforward.training.result import FitFailed

__all__ = ["FitFailed", "Importance", "InferenceOptions", "InferenceResult", "energies", "fit", "importance"]

_WHERE = {
    "fit": "pushforward.inference.fit_to_density",
    "importance": "pushforward.inference.importance_sampling",
    "Importance": "pushforward.inference.importance_sampling",
    "InferenceResult": "pushforward.inference.result",
    "FitFailed": "pushforward.training.result",
}


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    if name == "energies":
        return importlib.import_module("pushforward.inference.energies")
    raise AttributeError(f"module 'pushforward.inference' has no attribute {name!r}")
