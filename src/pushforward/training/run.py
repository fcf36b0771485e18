"""What every way of fitting shares: the best state is kept, rounds are recorded, and a run ends in one way."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from pushforward.errors import NumericsError
from pushforward.flow import Flow, evaluation
from pushforward.rows import Rows
from pushforward.training.averaging import Snapshot
from pushforward.training.interrupt import Interrupt
from pushforward.training.metrics import Metrics
from pushforward.training.options import TrainingOptions
from pushforward.training.progress import Progress, Status
from pushforward.training.result import FitFailed, FitResult, StopReason
from pushforward.training.validation import Score
from pushforward.units import Unit, in_unit, unit_of


class Run(ABC):
    """The state of one fit. ``step`` counts the steps so far, ``misses`` the rounds since the best one."""

    def __init__(
        self,
        flow: Flow,
        train: Rows,
        validation: Rows,
        options: TrainingOptions,
        metrics: Metrics,
        unit: Unit | None,
        keep: Callable[[Snapshot, int, float], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.flow, self.train, self.validation, self.options = flow, train, validation, options
        self.metrics, self.keep, self.clock = metrics, keep, clock
        self.unit: Unit = unit or unit_of(flow)
        self.result = FitResult()
        self.best: Snapshot | None = None
        self.step, self.misses = 0, 0

    def go(self, progress: Progress, interrupt: Interrupt) -> FitResult:
        """Fit, and leave the flow with the best state, in evaluation mode."""
        self.progress, self.started = progress, self.clock()
        try:
            self.result.stopped_by = self._train(interrupt)
        except NumericsError as error:
            self.result.stopped_by = "numerics"
            self._note(str(error))
            raise FitFailed(str(error), self._finish()) from None
        finally:
            self._finish()
        if self.step == 0 and self.result.stopped_by == "minutes":
            self._note("no step was taken: the time went by before the first one; give it more minutes")
        if self.best is not None and self.result.best_step == 0 and self.result.stopped_by != "interrupted":
            self.keep(self.best, 0, self.result.best_validation)
        if not math.isfinite(self.result.best_validation):
            self._note(
                "no validation round gave a finite log-likelihood: some of its rows have a density of 0, or the flow "
                "is numerically broken; look at them with flow.likelihood"
            )
        progress.show(self._status(), final=True)
        return self.result

    @abstractmethod
    def _train(self, interrupt: Interrupt) -> StopReason:
        """Take steps, with a validation round now and then, until a limit is reached: which one."""

    @abstractmethod
    def _status(self) -> Status:
        """How the run stands."""

    def _finish(self) -> FitResult:
        """The best state back into the flow; safe to call again."""
        if self.best is not None:
            self.best.restore()
        self.flow.zero_grad(set_to_none=True)
        self.flow.eval()
        self.result.steps, self.result.seconds = self.step, self._elapsed()
        self.result.history = self.metrics.history
        return self.result

    def _keep_if_best(self, score: Score) -> bool:
        """Whether the state that the flow holds now, of this score, is the best so far; it is then kept."""
        result = self.result
        # A row outside the support keeps every score at -inf: then later weights are taken for better ones.
        improved = score.mean > result.best_validation or (score.mean == -math.inf == result.best_validation)
        if improved:
            result.best_validation, result.best_step = score.mean, self.step
            # A copy of its own, so that an abort in the middle of copying cannot spoil the best so far.
            self.best = Snapshot(self.flow)
            if self.step > 0:
                with evaluation(self.flow):
                    self.keep(self.best, self.step, score.mean)
        return improved

    def _record(self, score: Score, improved: bool, train: float | None, epoch: float, **own: Any) -> None:
        """Add a validation round to the metrics. train: in nats; own: what the kinds of run know differently."""
        self.metrics.add(
            {
                "step": self.step,
                "epoch": epoch,
                "seconds": self._elapsed(),
                "train": None if train is None else self._in_unit(train),
                "validation": self._in_unit(score.mean),
                "standard_error": abs(self._in_unit(score.standard_error)),
                "best": self._in_unit(self.result.best_validation),
                "improved": improved,
                "unit": self.unit,
                "kind": self.flow.kind,
                "dequantisation": self.flow.dequantisation,
                "estimator": "; ".join(map(str, self.flow.transform.estimators)) or None,
                "train_loss": None if train is None else -train,
                "validation_nats": score.mean,
                "validation_rows": score.rows,
                **own,
            }
        )

    def _note(self, message: str) -> None:
        self.result.notes.append(message)
        self.progress.note(message)

    def _in_unit(self, nats: float) -> float:
        return in_unit(nats, self.unit, math.prod(self.flow.event_shape))

    def _elapsed(self) -> float:
        return self.clock() - self.started
