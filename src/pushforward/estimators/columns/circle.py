"""Circles of numbers: a period that is cut open at one place."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pushforward.array_types import Array
from pushforward.estimators.columns.interval import Interval
from pushforward.estimators.columns.standard import Standard


class Circle(NamedTuple):
    """The numbers from ``low``, a ``period`` long, as distances from ``cut`` in units ``unit``.

    step: the distance of two numbers, None for any number. interval: of the distances, with a map to the real line.

    >>> import numpy as np
    >>> start, ends = Circle(0.0, 24.0, 3.5, Standard(location=0.0, scale=1.0), 1.0).arc(np.array([0.0, 6.5]))
    >>> start, ends.tolist()
    (-0.5, [0.5, 6.5])
    """

    low: float
    period: float
    cut: float
    unit: Standard
    step: float | None
    interval: Interval = Interval()

    @property
    def first(self) -> float:
        """The least number."""
        return self.low if self.step is None else float(np.ceil(self.low / self.step) * self.step)

    def arc(self, x: Array) -> tuple[float, Array]:
        """The start, and the ends ``(N,)``, of the arcs whose points stand for the numbers up to ``x: (N,)``."""
        half = 0.0 if self.step is None else self.step / 2
        start = self.first - half
        ends = x if self.step is None else np.floor(x / self.step) * self.step + half
        return start, np.clip(ends, start, start + self.period)

    def encode(self, x: Array, turns: int) -> Array:
        """The encoded values of points ``x: (N,)``, a number of turns away."""
        distances = self.interval.inside(x - self.cut + turns * self.period, np.float64)
        return self.unit.encode(self.interval.encode(distances)[0])[0]

    def nearest(self, x: Array) -> Array:
        """The numbers nearest to points ``x`` of the circle."""
        return x if self.step is None else np.asarray(np.rint(x / self.step) * self.step)
