"""Maps of an interval, bounded on one or both sides, to the real line: logarithm and logit."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import model_validator
from scipy.special import expit

from pushforward.array_types import Array
from pushforward.errors import OptionError
from pushforward.estimators.columns.standard import Finite, Strict

_UNBOUNDED = np.finfo(float).max


class Interval(Strict):
    """The open interval from ``low`` to ``high``; None is no bound.

    >>> import numpy as np
    >>> points, log_slopes = Interval(low=0.0).encode(np.array([1.0, 2.0]))
    >>> points.round(3).tolist(), log_slopes.round(3).tolist()
    ([0.0, 0.693], [-0.0, -0.693])
    """

    low: Finite | None = None
    high: Finite | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Interval:
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise OptionError(f"bounds in ascending order expected, got {self.low:g} and {self.high:g}")
        return self

    def contains(self, x: Array) -> Array:
        """Which of ``x: (N,)`` are inside."""
        above = np.ones(len(x), dtype=bool) if self.low is None else x > self.low
        below = np.ones(len(x), dtype=bool) if self.high is None else x < self.high
        return np.asarray(above & below & np.isfinite(x))

    def encode(self, x: Array) -> tuple[Array, Array]:
        """Points on the real line and log-slopes of ``x`` inside the interval, ``(N,)`` each."""
        below = None if self.low is None else np.log(x - self.low)
        above = None if self.high is None else np.log(self.high - x)
        if below is not None and above is not None and self.low is not None and self.high is not None:
            return below - above, np.log(self.high - self.low) - below - above
        if below is not None:
            return below, -below
        if above is not None:
            return -above, -above
        return x, np.zeros(len(x))

    def decode(self, points: Array) -> Array:
        """The inverse of `encode`."""
        with np.errstate(over="ignore"):
            if self.low is not None and self.high is not None:
                x = self.low + (self.high - self.low) * expit(points)
            elif self.low is not None:
                x = self.low + np.exp(points)
            elif self.high is not None:
                x = self.high - np.exp(-points)
            else:
                x = points
        return np.asarray(np.clip(x, -_UNBOUNDED, _UNBOUNDED))

    def inside(self, x: Array, dtype: Any) -> Array:
        """``x`` as float ``dtype``, with values that rounding put on or beyond a bound at the nearest value inside."""
        with np.errstate(over="ignore"):
            x = x.astype(dtype)
        least, most = np.finfo(dtype).min, np.finfo(dtype).max
        if self.low is not None:
            bound = dtype(self.low)
            least = bound if float(bound) > self.low else np.nextafter(bound, dtype(np.inf))
        if self.high is not None:
            bound = dtype(self.high)
            most = bound if float(bound) < self.high else np.nextafter(bound, dtype(-np.inf))
        return np.asarray(np.clip(x, least, most))

    def __str__(self) -> str:
        if self.low is not None and self.high is not None:
            return f"between {self.low:g} and {self.high:g}"
        if self.low is not None:
            return f"above {self.low:g}"
        return "of any size" if self.high is None else f"below {self.high:g}"
