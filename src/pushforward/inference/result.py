"""What a fit to a log-density gives back, and what it shows on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from pushforward.inference.importance_sampling import Importance
from pushforward.training.progress import clock
from pushforward.training.result import StopReason


@dataclass
class InferenceResult:
    """The outcome of a fit to a log-density; the flow itself holds the weights.

    importance: ELBO, log-normaliser and effective sample size from samples drawn after the fit, all NaN where there are
    none because it failed. gradient: the estimator that was used. history: one entry a round, as `fit` describes them.
    notes: what went wrong, or could have been expected otherwise, and what was done about it.
    """

    importance: Importance = field(default_factory=Importance)
    gradient: Literal["path", "reparameterised"] = "path"
    steps: int = 0
    seconds: float = 0.0
    stopped_by: StopReason = "steps"
    history: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass
class InferenceStatus:
    """How a run stands; ``left`` is in seconds, and what is not known yet is None."""

    step: int
    fraction: float
    elbo: float | None = None
    gradient_norm: float | None = None
    rate: float | None = None
    left: float | None = None

    def __str__(self) -> str:
        parts = [f"step {self.step:,}"]
        if self.elbo is not None:
            parts.append(f"ELBO {self.elbo:.3f} nats")
        if self.gradient_norm is not None:
            parts.append(f"gradient {self.gradient_norm:.2g}")
        if self.rate is not None:
            parts.append(f"{self.rate:,.0f} samples/s")
        if self.left is not None:
            parts.append(f"{clock(self.left)} left")
        return " · ".join(parts)
