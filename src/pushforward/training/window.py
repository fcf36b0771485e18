"""A window over the latest training steps: their losses, gradient norms and speed."""

from __future__ import annotations

import math
from collections.abc import Callable

# The displayed value is the mean over this many of the latest steps.
_RECENT = 100


class Window:
    """A window of finite steps after step ``first``, with the time since then by ``clock``.

    `close` ends it for a validation round and `restart` begins the next window. Until the next window has a step,
    `recent` and `steps_per_second` are those of the last window.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last_recent: float | None = None
        self._last_pace: float | None = None
        self.restart(0)

    def restart(self, step: int) -> None:
        """Begin a new window after ``step`` steps."""
        self.first, self._closed = step, False
        self._values: list[float] = []
        self._norms: list[float] = []
        self._start = self._clock()

    def add(self, value: float, norm: float) -> None:
        """Add a step's value and gradient norm."""
        self._values.append(value)
        self._norms.append(norm)

    def close(self, step: int) -> None:
        """End the window at step ``step``: later time does not count for its speed."""
        if step > self.first:
            self._last_recent, self._last_pace = self.recent(), self.steps_per_second(step)
        self._closed = True

    def value(self) -> float | None:
        """Mean value; None, like the other means, without a finite step."""
        return _mean(self._values)

    def recent(self) -> float | None:
        """Mean value of the latest steps."""
        return _mean(self._values[-_RECENT:]) if self._values else self._last_recent

    def norm(self) -> float | None:
        """Mean gradient norm."""
        return _mean(self._norms)

    def seconds(self) -> float:
        """Seconds since the window began."""
        return self._clock() - self._start

    def step_seconds(self, step: int) -> float:
        """Seconds per step, up to step number ``step``."""
        return self.seconds() / max(1, step - self.first)

    def steps_per_second(self, step: int) -> float | None:
        """Steps per second up to step number ``step``; None before the first step."""
        if self._closed or step == self.first:
            return self._last_pace
        return (step - self.first) / max(self.seconds(), 1e-9)


def _mean(values: list[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None
