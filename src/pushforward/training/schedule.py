"""The schedule of a run: its limits, its completed fraction, its learning rate and its validation rounds."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pushforward.training.options import OptimiserOptions, TrainingOptions
from pushforward.training.result import StopReason

# In a run limited by time, validation may take this fraction of it.
VALIDATION_FRACTION = 0.1
# A run has about this many validation rounds, unless they would exceed that fraction.
ROUNDS = 50


@dataclass
class Budget:
    """The limits of a run. ``reserve`` seconds of the time limit are kept for the last validation."""

    steps: int | None
    epoch_steps: int | None
    seconds: float | None
    reserve: float = 0.0

    @classmethod
    def of(cls, options: TrainingOptions, rows: int, batch: int) -> Budget:
        """The limits that ``options`` set for ``rows`` training rows in batches of ``batch``."""
        epochs = options.epoch_limit
        return cls(
            steps=options.steps,
            epoch_steps=None if epochs is None else math.ceil(epochs * rows / batch),
            seconds=None if options.minutes is None else 60 * options.minutes,
        )

    @property
    def last_step(self) -> int | None:
        """The number of steps that the run cannot exceed, None where only time limits it."""
        return min((n for n in (self.steps, self.epoch_steps) if n is not None), default=None)

    def fraction(self, step: int, elapsed: float) -> float:
        """The completed fraction, 0 to 1, after ``step`` steps and ``elapsed`` seconds, by the nearest limit."""
        parts = [0.0]
        if self.last_step is not None:
            parts.append(step / self.last_step)
        if self.seconds is not None:
            parts.append(elapsed / max(self.seconds - self.reserve, 1e-9))
        return min(1.0, max(parts))

    def exhausted(self, step: int, elapsed: float, step_seconds: float = 0.0) -> StopReason | None:
        """The limit that another step (of about ``step_seconds``) would exceed; None if there is none."""
        if self.steps is not None and step >= self.steps:
            return "steps"
        if self.epoch_steps is not None and step >= self.epoch_steps:
            return "epochs"
        if self.seconds is not None and elapsed + step_seconds + self.reserve > self.seconds:
            return "minutes"
        return None

    def left(self, step: int, elapsed: float) -> float | None:
        """Seconds left until the nearest limit; None before it can be estimated."""
        fraction = self.fraction(step, elapsed)
        guesses = []
        if self.seconds is not None:
            guesses.append(max(0.0, self.seconds - elapsed))
        if self.last_step is not None and step > 0:
            guesses.append(elapsed * (self.last_step - step) / step)
        return min(guesses, default=None) if fraction < 1 else 0.0


def learning_rate(options: OptimiserOptions, step: int, fraction: float) -> float:
    """The rate of step ``step`` (from 0), at ``fraction`` of the run: a linear rise times a constant or half cosine."""
    rate = options.lr
    if step < options.warmup_steps:
        rate *= (step + 1) / options.warmup_steps
    if options.schedule == "cosine":
        rate *= 0.5 * (1 + math.cos(math.pi * min(1.0, fraction)))
    return rate


@dataclass
class Cadence:
    """When to validate: every ``steps`` steps, or, where that is None, by the clock."""

    steps: int | None
    seconds: float = 0.0

    @classmethod
    def of(cls, options: TrainingOptions, budget: Budget, validation_rows: int, batch: int) -> Cadence:
        """The cadence in the options, or a default: by time in a run limited by time, by a count of the work otherwise.

        A run without a time limit is repeatable: its cadence depends on the options and the data alone.
        """
        if options.validate_every is not None:
            return cls(options.validate_every)
        if budget.seconds is not None or budget.last_step is None:
            return cls(None)
        # Scoring a row costs about a third of a training step on it.
        affordable = validation_rows / (3 * VALIDATION_FRACTION * batch)
        return cls(max(1, math.ceil(max(budget.last_step / ROUNDS, affordable))))

    def follow_cost(self, budget: Budget, cost: float) -> None:
        """Adapt to a validation round that took ``cost`` seconds."""
        if self.steps is None and budget.seconds is not None:
            self.seconds = max(budget.seconds / ROUNDS, cost / VALIDATION_FRACTION)

    def due(self, steps_since: int, seconds_since: float) -> bool:
        """Whether it is time to validate."""
        return steps_since >= self.steps if self.steps is not None else seconds_since >= self.seconds
