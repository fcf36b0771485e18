"""The validation rounds of a fit to data: the best state so far, the entries of the metrics, and their units."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from pushforward.flow import Flow
from pushforward.precision import evaluation
from pushforward.training.averaging import Snapshot
from pushforward.training.metrics import Metrics
from pushforward.training.result import FitResult
from pushforward.training.validation import Score
from pushforward.units import Unit, in_unit, unit_of


class ValidationRecord:
    """The best state and the validation rounds of a fit. ``misses`` counts the rounds since the best one.

    unit: the unit of the values recorded and shown; None: that of the flow. keep: called with a new best state, its
    step and its mean log-likelihood in nats.
    """

    def __init__(
        self, flow: Flow, metrics: Metrics, unit: Unit | None, keep: Callable[[Snapshot, int, float], None]
    ) -> None:
        self.flow, self.metrics, self.keep = flow, metrics, keep
        self.unit: Unit = unit or unit_of(flow)
        self.result = FitResult()
        self.best: Snapshot | None = None
        self.score: Score | None = None
        self.misses = 0

    def take(self, score: Score, step: int) -> bool:
        """Record the score of the flow's present state and keep the state if it is the best; return whether it is."""
        result = self.result
        # With a row outside the support every score is -inf; then later weights count as better.
        improved = score.mean > result.best_validation or (score.mean == -math.inf == result.best_validation)
        self.score, self.misses = score, 0 if improved else self.misses + 1
        if improved:
            result.best_validation, result.best_step = score.mean, step
            # A separate copy: an abort in the middle of copying must not damage the best state so far.
            self.best = Snapshot(self.flow)
            if step > 0:
                with evaluation(self.flow):
                    self.keep(self.best, step, score.mean)
        return improved

    def write(self, step: int, seconds: float, train: float | None, epoch: float, **more: Any) -> None:
        """Add the entry of the round of the last score to the metrics. train: in nats; more: further fields."""
        score = self.score
        assert score is not None
        self.metrics.add(
            {
                "step": step,
                "epoch": epoch,
                "seconds": seconds,
                "train": None if train is None else self.in_unit(train),
                "validation": self.in_unit(score.mean),
                "standard_error": abs(self.in_unit(score.standard_error)),
                "best": self.in_unit(self.result.best_validation),
                "improved": self.misses == 0,
                "unit": self.unit,
                "kind": self.flow.kind,
                "dequantisation": self.flow.dequantisation,
                "estimator": "; ".join(map(str, self.flow.transform.estimators)) or None,
                "train_loss": None if train is None else -train,
                "validation_nats": score.mean,
                "validation_rows": score.rows,
                **more,
            }
        )

    def figures(self, train: float | None, loss: tuple[str, float] | None = None) -> tuple[str, ...]:
        """Figures for display: the training log-likelihood, given in nats, or the name and value of a loss."""
        figures = []
        if train is not None:
            figures.append(f"train {self.in_unit(train):.3f} {self.unit}")
        if loss is not None:
            figures.append(f"{loss[0]} {loss[1]:.4g}")
        if self.score is not None:
            value, best = self.in_unit(self.score.mean), self.in_unit(self.result.best_validation)
            figures.append(f"validation {value:.3f}, best {best:.3f} {self.unit} ({self.flow.kind_in_words})")
        return tuple(figures)

    def conclude(self, steps: int) -> list[str]:
        """Notes on a finished fit of ``steps`` steps; if the start is the best state, it is kept."""
        result, notes = self.result, []
        if steps == 0 and result.stopped_by == "minutes":
            notes.append("no step was taken: the time limit was reached before the first one; increase minutes")
        if self.best is not None and result.best_step == 0 and result.stopped_by != "interrupted":
            self.keep(self.best, 0, result.best_validation)
        if not math.isfinite(result.best_validation):
            notes.append(
                "no validation round gave a finite log-likelihood: some of its rows have a density of 0, or the flow "
                "is numerically unstable; inspect them with flow.likelihood"
            )
        return notes

    def in_unit(self, nats: float) -> float:
        """A log-likelihood in nats, in the unit of this record."""
        return in_unit(nats, self.unit, math.prod(self.flow.event_shape))
