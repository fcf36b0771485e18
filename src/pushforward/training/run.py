"""The run of a fit of any kind: it takes steps until a limit, reports progress, and restores the best weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from pushforward.errors import NumericsError
from pushforward.flow import Flow
from pushforward.training.averaging import Snapshot
from pushforward.training.interrupt import Interrupt
from pushforward.training.metrics import Metrics
from pushforward.training.progress import ProgressDisplay, Status
from pushforward.training.result import FitFailed, RunResult, StopReason
from pushforward.training.schedule import Budget, Cadence
from pushforward.training.stepper import Stepper

Result = TypeVar("Result", bound=RunResult)


@dataclass(frozen=True)
class Reporting:
    """The reporting of a run: its metrics, its progress display, and the clock for its seconds."""

    metrics: Metrics
    progress: ProgressDisplay
    clock: Callable[[], float]


class Run(ABC, Generic[Result]):
    """The state of one fit."""

    def __init__(self, flow: Flow, reporting: Reporting, result: Result) -> None:
        self.flow, self.result = flow, result
        self.metrics, self.progress, self.clock = reporting.metrics, reporting.progress, reporting.clock
        self.started = self.clock()

    def go(self, interrupt: Interrupt) -> Result:
        """Run the fit; the flow ends with the kept state, in evaluation mode."""
        try:
            self.result.stopped_by = self._train(interrupt)
        except NumericsError as error:
            self.result.stopped_by = "numerics"
            self._note(str(error))
            raise FitFailed(str(error), self._finish()) from None
        finally:
            self._finish()
        for message in self._conclude():
            self._note(message)
        self.progress.show(self._status(), final=True)
        return self.result

    @property
    @abstractmethod
    def steps_taken(self) -> int:
        """The number of steps so far."""

    @property
    @abstractmethod
    def kept(self) -> Snapshot | None:
        """The state that the flow ends with; None for its present state."""

    @abstractmethod
    def _train(self, interrupt: Interrupt) -> StopReason:
        """Take steps until a limit is reached, and return which one."""

    @abstractmethod
    def _status(self) -> Status:
        """The state of the run for the progress display."""

    @abstractmethod
    def _conclude(self) -> list[str]:
        """Notes on the result, collected after the flow has the kept state."""

    def _finish(self) -> Result:
        """Load the kept state into the flow; safe to call again."""
        if self.kept is not None:
            self.kept.restore()
        self.flow.zero_grad(set_to_none=True)
        self.flow.eval()
        self.result.steps, self.result.minutes = self.steps_taken, self._elapsed() / 60
        self.result.history = self.metrics.history
        return self.result

    def _note(self, message: str) -> None:
        self.result.notes.append(message)
        self.progress.note(message)

    def _elapsed(self) -> float:
        return self.clock() - self.started


class GradientRun(Run[Result], ABC):
    """A run of gradient steps with validation rounds. A subclass sets these attributes in its constructor."""

    stepper: Stepper
    budget: Budget
    cadence: Cadence

    @property
    def steps_taken(self) -> int:
        return self.stepper.step

    @abstractmethod
    def _step(self, fraction: float) -> str | None:
        """Take a step at ``fraction`` of the run and return the message of `Stepper.advance`."""

    @abstractmethod
    def _round(self) -> StopReason | None:
        """Record a round and copy the weights if they are the best so far; return a reason to stop, or None."""

    def _loop(self, interrupt: Interrupt) -> StopReason:
        stepper, window = self.stepper, self.stepper.window
        while not interrupt.asked:
            step_seconds = window.step_seconds(stepper.step)
            reason = self.budget.exhausted(stepper.step, self._elapsed(), step_seconds)
            if reason is not None:
                return reason
            message = self._step(self.budget.fraction(stepper.step, self._elapsed()))
            if message is not None:
                self._note(f"step {stepper.step}: {message}")
            if self.progress.due():
                self.progress.show(self._status())
            if self.cadence.due(stepper.step - window.first, window.seconds()):
                reason = self._round()
                if reason is not None:
                    return reason
        return "interrupted"
