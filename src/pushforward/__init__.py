"""Normalizing flows you can evaluate, sample and trust.

The front page is short and lazy: importing the package loads nothing heavy, using one of these names does.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pushforward.version import __version__

if TYPE_CHECKING:
    from pushforward import errors, flows, presets
    from pushforward.diagnostics.check import check
    from pushforward.errors import PushforwardError
    from pushforward.estimators import FlowDensity, FlowOutlierDetector, FlowRegressor, FlowTransformer
    from pushforward.flow import Flow
    from pushforward.reports import report
    from pushforward.storage import load, save
    from pushforward.training import TrainingOptions, fit
    from pushforward.transforms import Chain, Inverse, Transform

__all__ = [
    "Chain",
    "Flow",
    "FlowDensity",
    "FlowOutlierDetector",
    "FlowRegressor",
    "FlowTransformer",
    "Inverse",
    "PushforwardError",
    "TrainingOptions",
    "Transform",
    "__version__",
    "check",
    "errors",
    "fit",
    "flows",
    "load",
    "presets",
    "report",
    "save",
]

_WHERE = {
    "Chain": "pushforward.transforms",
    "Flow": "pushforward.flow",
    "FlowDensity": "pushforward.estimators",
    "FlowOutlierDetector": "pushforward.estimators",
    "FlowRegressor": "pushforward.estimators",
    "FlowTransformer": "pushforward.estimators",
    "Inverse": "pushforward.transforms",
    "PushforwardError": "pushforward.errors",
    "TrainingOptions": "pushforward.training",
    "Transform": "pushforward.transforms",
    "check": "pushforward.diagnostics",
    "fit": "pushforward.training",
    "load": "pushforward.storage",
    "report": "pushforward.reports",
    "save": "pushforward.storage",
}
_PACKAGES = (
    "bases",
    "data",
    "diagnostics",
    "errors",
    "estimators",
    "evaluation",
    "flows",
    "inference",
    "maps",
    "nets",
    "objectives",
    "presets",
    "reports",
    "storage",
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
