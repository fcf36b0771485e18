"""The results of fits."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from pushforward.errors import NumericsError

StopReason: TypeAlias = Literal["patience", "minutes", "epochs", "steps", "interrupted", "numerics"]
Result = TypeVar("Result")


@dataclass(kw_only=True)
class RunResult:
    """The result of any fit. history: one entry per round; notes: problems of the run and how it recovered."""

    steps: int = 0
    minutes: float = 0.0
    stopped_by: StopReason = "steps"
    history: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(kw_only=True)
class FitResult(RunResult):
    """The result of a fit to data; the flow itself has the best weights.

    best_validation: mean log-likelihood in nats of the validation rows, at ``best_step``. history: one entry a
    validation round, as `metrics.jsonl` has them (see `Metrics`).
    """

    best_validation: float = -math.inf
    best_step: int = 0


class FitFailed(NumericsError, Generic[Result]):
    """A fit kept becoming non-finite. ``result`` describes it; the flow has the best weights so far."""

    def __init__(self, message: str, result: Result) -> None:
        super().__init__(message)
        self.result = result
