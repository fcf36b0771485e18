"""Estimators for tables: a plan of the columns, a density of their rows, and scikit-learn's interface to both."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pushforward.estimators.columns.plan import ColumnPlan
    from pushforward.estimators.density import FlowDensity
    from pushforward.estimators.loading import load
    from pushforward.estimators.outliers import FlowOutlierDetector
    from pushforward.estimators.regressor import FlowRegressor
    from pushforward.estimators.transformer import FlowTransformer

__all__ = ["ColumnPlan", "FlowDensity", "FlowOutlierDetector", "FlowRegressor", "FlowTransformer", "load"]

_WHERE = {
    "ColumnPlan": "pushforward.estimators.columns.plan",
    "FlowDensity": "pushforward.estimators.density",
    "FlowOutlierDetector": "pushforward.estimators.outliers",
    "FlowRegressor": "pushforward.estimators.regressor",
    "FlowTransformer": "pushforward.estimators.transformer",
    "load": "pushforward.estimators.loading",
}


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'pushforward.estimators' has no attribute {name!r}")
