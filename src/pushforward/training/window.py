"""The steps since the last look at a run: their values, their gradient norms, and their pace."""

from __future__ import annotations

import math
from collections.abc import Callable

# What is shown of a run is the mean over so many of its latest steps.
_RECENT = 100


class Window:
    """The finite steps after step ``first``, and the time that ``clock`` has shown since."""

    def __init__(self, clock: Callable[[], float], first: int) -> None:
        self.first = first
        self.values: list[float] = []
        self._norms: list[float] = []
        self._clock, self._start = clock, clock()

    def add(self, value: float, norm: float) -> None:
        """Take in a step's value and gradient norm."""
        self.values.append(value)
        self._norms.append(norm)

    def value(self) -> float | None:
        """Mean value; None where there was no finite step, as for the other means."""
        return _mean(self.values)

    def recent(self) -> float | None:
        """Mean value of the latest steps."""
        return _mean(self.values[-_RECENT:])

    def norm(self) -> float | None:
        """Mean gradient norm."""
        return _mean(self._norms)

    def step_seconds(self, step: int) -> float:
        """Seconds a step, up to step number ``step``."""
        return (self._clock() - self._start) / max(1, step - self.first)

    def steps_per_second(self, step: int) -> float | None:
        """The pace up to step number ``step``; None before the first step."""
        steps = step - self.first
        return steps / max(self._clock() - self._start, 1e-9) if steps else None


def _mean(values: list[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None
