"""The steps since the last look at a run: their values, their gradient norms, and their pace."""

from __future__ import annotations

import math
from collections.abc import Callable

# The value shown of a run is the mean over this many of its latest steps.
_RECENT = 100


class Window:
    """The finite steps after step ``first``, and the time that ``clock`` has shown since.

    `close` ends it for a round of bookkeeping and `restart` begins the next one. Until that has a step, `recent` and
    `steps_per_second` are those of the last one.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last_recent: float | None = None
        self._last_pace: float | None = None
        self.restart(0)

    def restart(self, step: int) -> None:
        """Begin again after ``step`` steps."""
        self.first, self._closed = step, False
        self._values: list[float] = []
        self._norms: list[float] = []
        self._start = self._clock()

    def add(self, value: float, norm: float) -> None:
        """Take in a step's value and gradient norm."""
        self._values.append(value)
        self._norms.append(norm)

    def close(self, step: int) -> None:
        """End the window at step ``step``: time that goes by from now on does not count for its pace."""
        if step > self.first:
            self._last_recent, self._last_pace = self.recent(), self.steps_per_second(step)
        self._closed = True

    def value(self) -> float | None:
        """Mean value; None where there was no finite step, as for the other means."""
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
        """Seconds a step, up to step number ``step``."""
        return self.seconds() / max(1, step - self.first)

    def steps_per_second(self, step: int) -> float | None:
        """The pace up to step number ``step``; None before the first step."""
        if self._closed or step == self.first:
            return self._last_pace
        return (step - self.first) / max(self.seconds(), 1e-9)


def _mean(values: list[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None
