"""Robust standard units: a location and a scale from quantiles, and a logarithmic tail where the data need one."""

from __future__ import annotations

from typing import Annotated, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from pushforward.array_types import Array

# Deviations from the median that are linear under a tail map, and the deviation that no light tail reaches.
_LINEAR = 3.0
_HEAVY = 8.0
# Units beyond the training rows up to which a number is never far from all of them.
_FAR = 5.0
# The quantiles of a normal distribution one standard deviation from its median.
_BELOW, _ABOVE = 0.158655, 0.841345

Finite = Annotated[float, Field(allow_inf_nan=False)]


class Strict(BaseModel):
    """A record that is stored as JSON: no other fields, no changes, infinities as text."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")


class Distinct:
    """The distinct values of a column in ascending order, and the number of rows with each."""

    def __init__(self, values: Array, counts: Array) -> None:
        self.values, self.counts = values, counts

    @classmethod
    def of(cls, numbers: Array) -> Self:
        values, counts = np.unique(numbers, return_counts=True)
        return cls(values, counts)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def rows(self) -> int:
        return int(self.counts.sum())

    def where(self, mask: Array) -> Self:
        return type(self)(self.values[mask], self.counts[mask])

    def thinned(self, most: int) -> Self:
        """At most ``most`` of the values, evenly spaced among the rows."""
        if len(self) <= most:
            return self
        places = np.searchsorted(np.cumsum(self.counts), (np.arange(most) + 0.5) / most * self.rows)
        return type(self)(*np.unique(self.values[np.minimum(places, len(self) - 1)], return_counts=True))

    def spread(self, step: float) -> Self:
        """The values spread over cells of width ``step`` around each, five points a cell."""
        points = (self.values[:, None] + step * np.linspace(-0.4, 0.4, 5)).ravel()
        return type(self)(points, np.repeat(self.counts, 5))

    def quantiles(self, levels: tuple[float, ...]) -> Array:
        """Quantiles of the rows, each one of the values."""
        cumulated = np.cumsum(self.counts)
        places = np.searchsorted(cumulated, np.asarray(levels) * cumulated[-1])
        return np.asarray(self.values[np.minimum(places, len(self) - 1)])


class Standard(Strict):
    """Standard units ``(x - location) / scale``; beyond ``tail`` units, the logarithm of the excess.

    reach: the least and the largest encoded value of the training rows; None in a plan that was saved without them.

    >>> import numpy as np
    >>> unit = Standard(location=10.0, scale=2.0, tail=3.0)
    >>> values, log_slopes = unit.encode(np.array([12.0, 1e6]))
    >>> unit.decode(values).round(6).tolist()
    [12.0, 1000000.0]
    >>> Standard(location=10.0, scale=2.0, reach=(-2.0, 3.0)).far(np.array([7.5, 8.5])).tolist()
    [False, True]
    """

    location: Finite
    scale: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    tail: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    reach: tuple[Finite, Finite] | None = None

    @classmethod
    def of(cls, distinct: Distinct) -> Self:
        """Median and half the distance of the quantiles at one deviation, or wider ones where these coincide."""
        low, location, high = distinct.quantiles((_BELOW, 0.5, _ABOVE))
        scale = high / 2 - low / 2
        values = distinct.values
        if scale <= 0 and len(distinct) > 1:
            deviations = np.abs(values - location)
            scale = float(deviations[deviations > 0].min(initial=np.inf))
            scale = scale if np.isfinite(scale) else 0.0
        if not scale > 0:
            scale = abs(location) or 1.0
        scale = max(float(scale), float(np.spacing(abs(location))), np.finfo(float).tiny)
        with np.errstate(over="ignore"):
            farthest = max(abs((values[0] - location) / scale), abs((values[-1] - location) / scale))
        unit = cls(location=float(location), scale=scale, tail=_LINEAR if farthest > _HEAVY else None)
        low, high = np.nan_to_num(unit.encode(values[[0, -1]])[0]).tolist()
        return unit.model_copy(update={"reach": (low, high)})

    def reaching(self, values: Array) -> Self:
        """These units with further training rows, whose encoded values are given."""
        low, high = self._ends
        if not len(values) or np.isinf(low):
            return self
        return self.model_copy(update={"reach": (min(low, float(values.min())), max(high, float(values.max())))})

    def far(self, values: Array) -> Array:
        """Which encoded values ``(N,)`` are farther from the training rows than these are from each other."""
        low, high = self._ends
        margin = max(_FAR, high - low)
        return np.asarray((values < low - margin) | (values > high + margin))

    @property
    def _ends(self) -> tuple[float, float]:
        """The values beyond which there is no training row."""
        # Without a tail map, no training row is beyond the deviation that a light tail reaches.
        return self.reach or ((-_HEAVY, _HEAVY) if self.tail is None else (-np.inf, np.inf))

    def encode(self, x: Array) -> tuple[Array, Array]:
        """Values in standard units and the log of their derivatives by ``x``, both ``(N,)``."""
        with np.errstate(over="ignore"):
            z = (x - self.location) / self.scale
        log_slopes = np.full(len(z), -np.log(self.scale))
        if self.tail is None:
            return z, log_slopes
        stretch = np.log1p(np.maximum(np.abs(z) - self.tail, 0.0))
        beyond = np.abs(z) > self.tail
        return np.where(beyond, np.sign(z) * (self.tail + stretch), z), log_slopes - stretch

    def decode(self, values: Array) -> Array:
        """The inverse of `encode`, kept finite."""
        z = values
        if self.tail is not None:
            excess = np.expm1(np.clip(np.abs(values) - self.tail, 0.0, 700.0))
            z = np.where(np.abs(values) > self.tail, np.sign(values) * (self.tail + excess), values)
        with np.errstate(over="ignore"):
            return np.nan_to_num(self.location + self.scale * z, nan=np.nan)
