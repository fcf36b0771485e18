"""Maps of an interval, bounded on one or both sides, to the real line: logarithm, logit and probit."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator
from scipy.special import expit, log_ndtr, ndtr, ndtri, ndtri_exp

from pushforward.array_types import Array
from pushforward.errors import OptionError
from pushforward.estimators.columns.standard import Finite, Strict

# Widths from the bound beyond which the softplus function is the identity in double precision.
_FAR = 40.0
_LOG_ROOT = 0.5 * float(np.log(2 * np.pi))
# The least distance from a bound, in widths, of which the probit is finite in double precision.
_LEAST_MARGIN = 1e-290
_UNBOUNDED = np.finfo(float).max


class Interval(Strict):
    """The open interval from ``low`` to ``high``, None for no bound, and its map to the real line.

    form: ``"log"`` for the logarithm of the distance to one bound and the logit between two. ``"probit"`` for the
    normal quantile of the probability under the uniform distribution between two bounds, or under the exponential
    distribution of mean ``scale`` from one: a density that is finite at a bound gets a normal tail there.
    ``"softplus"``, for one bound, for the inverse of the softplus function of width ``scale``, which is the identity
    far from the bound.

    >>> import numpy as np
    >>> points, log_slopes = Interval(low=0.0).encode(np.array([1.0, 2.0]))
    >>> points.round(3).tolist(), log_slopes.round(3).tolist()
    ([0.0, 0.693], [-0.0, -0.693])
    """

    low: Finite | None = None
    high: Finite | None = None
    form: Literal["log", "probit", "softplus"] = "log"
    scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0

    @model_validator(mode="after")
    def _ordered(self) -> Interval:
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise OptionError(f"bounds in ascending order expected, got {self.low:g} and {self.high:g}")
        if self.form == "softplus" and (self.low is None) == (self.high is None):
            raise OptionError("the softplus form has one bound")
        return self

    def contains(self, x: Array) -> Array:
        """Which of ``x: (N,)`` are inside."""
        above = np.ones(len(x), dtype=bool) if self.low is None else x > self.low
        below = np.ones(len(x), dtype=bool) if self.high is None else x < self.high
        return np.asarray(above & below & np.isfinite(x))

    def encode(self, x: Array) -> tuple[Array, Array]:
        """Points on the real line and log-slopes of ``x`` inside the interval, ``(N,)`` each."""
        forms = {"log": self._encode_log, "probit": self._encode_probit, "softplus": self._encode_softplus}
        return forms[self.form](x)

    def _encode_log(self, x: Array) -> tuple[Array, Array]:
        below = None if self.low is None else np.log(x - self.low)
        above = None if self.high is None else np.log(self.high - x)
        if below is not None and above is not None and self.low is not None and self.high is not None:
            return below - above, np.log(self.high - self.low) - below - above
        if below is not None:
            return below, -below
        if above is not None:
            return np.asarray(-above), np.asarray(-above)
        return x, np.zeros(len(x))

    def _encode_probit(self, x: Array) -> tuple[Array, Array]:
        if self.low is not None and self.high is not None:
            width = self.high - self.low
            below, above = (x - self.low) / width, (self.high - x) / width
            points = np.where(below < 0.5, ndtri(below), -ndtri(above))
            return points, np.asarray(points**2 / 2 + _LOG_ROOT - np.log(width))
        if self.low is None and self.high is None:
            return x, np.zeros(len(x))
        times = (x - self.low if self.low is not None else self.high - x) / self.scale
        points = -ndtri_exp(-times)
        slopes = points**2 / 2 + _LOG_ROOT - times - np.log(self.scale)
        return np.asarray(points if self.low is not None else -points), np.asarray(slopes)

    def _encode_softplus(self, x: Array) -> tuple[Array, Array]:
        bound, sign = self._bound
        t = sign * (x - bound) / self.scale
        # Within one width of the bound log(expm1(t)), farther away t + log(1 - exp(-t)): neither overflows.
        short = np.minimum(t, 1.0)
        away = np.where(t < 1.0, np.log(np.expm1(short)), t + np.log1p(-np.exp(-np.maximum(t, 1.0))))
        points = np.where(t > _FAR, x, bound + sign * self.scale * away)
        return points, np.asarray(-np.log(-np.expm1(-t)))

    @property
    def _bound(self) -> tuple[float, float]:
        """The one bound, and 1 for a lower or -1 for an upper one."""
        return (self.low, 1.0) if self.low is not None else (self.high or 0.0, -1.0)

    def decode(self, points: Array) -> Array:
        """The inverse of `encode`."""
        forms = {"log": self._decode_log, "probit": self._decode_probit, "softplus": self._decode_softplus}
        with np.errstate(over="ignore"):
            x = forms[self.form](points)
        return np.asarray(np.clip(x, -_UNBOUNDED, _UNBOUNDED))

    def _decode_log(self, points: Array) -> Array:
        if self.low is not None and self.high is not None:
            return np.asarray(self.low + (self.high - self.low) * expit(points))
        if self.low is not None:
            return np.asarray(self.low + np.exp(points))
        return points if self.high is None else np.asarray(self.high - np.exp(-points))

    def _decode_probit(self, points: Array) -> Array:
        if self.low is not None and self.high is not None:
            width = self.high - self.low
            return np.asarray(np.where(points < 0, self.low + width * ndtr(points), self.high - width * ndtr(-points)))
        if self.low is not None:
            return np.asarray(self.low - self.scale * log_ndtr(-points))
        return points if self.high is None else np.asarray(self.high + self.scale * log_ndtr(points))

    def _decode_softplus(self, points: Array) -> Array:
        bound, sign = self._bound
        t = sign * (points - bound) / self.scale
        return np.where(t > _FAR, points, bound + sign * self.scale * np.logaddexp(0.0, t))

    @property
    def _width(self) -> float:
        """The length of the interval, or the scale where it has none."""
        return self.scale if self.low is None or self.high is None else self.high - self.low

    def inside(self, x: Array, dtype: Any) -> Array:
        """``x`` as float ``dtype``, with values that rounding put on or beyond a bound at the nearest value inside."""
        with np.errstate(over="ignore"):
            x = x.astype(dtype)
        least, most = np.finfo(dtype).min, np.finfo(dtype).max
        margin = _LEAST_MARGIN * self._width
        if self.low is not None:
            bound = dtype(self.low + margin)
            least = bound if float(bound) > self.low else np.nextafter(bound, dtype(np.inf))
        if self.high is not None:
            bound = dtype(self.high - margin)
            most = bound if float(bound) < self.high else np.nextafter(bound, dtype(-np.inf))
        return np.asarray(np.clip(x, least, most))

    @property
    def open(self) -> bool:
        """Whether there is no bound."""
        return self.low is None and self.high is None

    @property
    def map_name(self) -> str:
        """The map in a word."""
        if self.open:
            return "identity"
        if None in (self.low, self.high):
            return {"log": "log", "probit": "probit of exponential", "softplus": "softplus"}[self.form]
        return "logit" if self.form == "log" else "probit"

    def __str__(self) -> str:
        if self.low is not None and self.high is not None:
            return f"between {self.low:g} and {self.high:g}"
        if self.low is not None:
            return f"above {self.low:g}"
        return "of any size" if self.high is None else f"below {self.high:g}"
