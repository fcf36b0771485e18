"""The result of a fit to a log-density."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pushforward.inference.importance_sampling import Importance
from pushforward.training.result import RunResult


@dataclass(kw_only=True)
class InferenceResult(RunResult):
    """The result of a fit to a log-density; the flow itself has the weights.

    importance: ELBO, log-normaliser and effective sample size from samples drawn after the fit; all NaN if the fit
    failed. gradient: the estimator that was used. history: one entry a round, as `fit` describes them.
    """

    importance: Importance = field(default_factory=Importance)
    gradient: Literal["path", "reparameterised"] = "path"
