"""The calendar of a column of dates: periods as features of a date, and a change of time by their frequencies."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from pushforward.array_types import Array
from pushforward.estimators.columns.standard import Distinct, Standard, Strict

_Fraction = Annotated[float, Field(gt=0, le=1)]
# Days of each period, the harmonics of its features, and the parts in which its dates have to differ.
_PERIODS = ((1.0, 4, 24), (7.0, 3, 7), (365.2425, 2, 12))
# A period has features where the dates span so many of it: of years, one.
_SPANNED = (2.0, 2.0, 0.95)
# The least gain of a time change in nats a row, and the cycles that the dates span at least.
_GAIN, _CYCLES = 0.01, 4
# Rows that are added to each part of a cycle, so that none has density zero.
_ADDED = 0.5


class TimeChange(Strict):
    """A piecewise-linear change of time: each part of a cycle lasts as long as it has rows.

    In the changed time, dates that avoid weekends or nights have a density without gaps. offset: the place in the
    cycle of step 0. width: of a part, in steps. fractions: the fractions of the rows in the parts of a cycle.

    >>> import numpy as np
    >>> change = TimeChange(offset=0, width=1, fractions=(0.5, 0.25, 0.25))
    >>> times, log_slopes = change.encode(np.array([0.0, 1.0, 3.0]))
    >>> times.tolist(), np.exp(log_slopes).tolist(), change.decode(times).tolist()
    ([0.75, 1.875, 3.75], [1.5, 0.75, 1.5], [0.0, 1.0, 3.0])
    """

    offset: Annotated[int, Field(ge=0, lt=2**62)]
    width: Annotated[int, Field(ge=1, lt=2**62)]
    fractions: Annotated[tuple[_Fraction, ...], Field(min_length=2, max_length=1_000)]

    @property
    def parts(self) -> str:
        """The word for the parts of the cycle."""
        return {7: "days of the week", 24: "hours of the day"}.get(len(self.fractions), "hours of the week")

    @property
    def _edges(self) -> Array:
        """The ends of the parts as fractions of the cycle in the changed time, from 0 to 1."""
        ends = np.cumsum(self.fractions)
        return np.append(0.0, ends / ends[-1])

    def encode(self, steps: Array) -> tuple[Array, Array]:
        """The changed times of ``steps: (N,)`` and the log of their derivatives, both ``(N,)``."""
        edges, count = self._edges, len(self.fractions)
        # A step lasts from half before its number to half after it.
        parts = (steps + 0.5 + self.offset) / self.width
        cycles = np.floor(parts / count)
        within = np.clip(parts - cycles * count, 0.0, count)
        part = np.minimum(within.astype(np.int64), count - 1)
        sizes = np.diff(edges)
        place = edges[part] + sizes[part] * (within - part)
        return (cycles + place) * count * self.width, np.log(count * sizes[part])

    def decode(self, times: Array) -> Array:
        """The inverse of `encode`: steps ``(N,)``."""
        edges, count = self._edges, len(self.fractions)
        turns = times / (count * self.width)
        cycles = np.floor(turns)
        within = np.clip(turns - cycles, 0.0, 1.0)
        part = np.clip(np.searchsorted(edges, within, side="right") - 1, 0, count - 1)
        place = part + (within - edges[part]) / np.diff(edges)[part]
        return (cycles * count + place) * self.width - 0.5 - self.offset


class Period(Strict):
    """A period of dates. steps: its length. phase: the place in it of step 0, as a fraction. harmonics: of features."""

    steps: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    phase: Annotated[float, Field(ge=0, lt=1)]
    harmonics: Annotated[int, Field(ge=1, le=20)]


class Calendar(Strict):
    """The features of dates that are given as values in standard units: sines and cosines of periods.

    >>> import torch
    >>> week = Period(steps=7.0, phase=0.0, harmonics=1)
    >>> calendar = Calendar(unit=Standard(location=0.0, scale=1.0), periods=(week,))
    >>> calendar.features(torch.tensor([0.2, 7.0])).round(decimals=3).tolist()
    [[0.0, 1.0], [0.0, 1.0]]
    """

    unit: Standard
    change: TimeChange | None = None
    periods: Annotated[tuple[Period, ...], Field(max_length=10)] = ()

    @property
    def width(self) -> int:
        """The number of features."""
        return 2 * sum(period.harmonics for period in self.periods)

    def features(self, values: Tensor) -> Tensor:
        """``(N, width)`` float64 of ``values: (N,)``: those of the date to which a value is dequantised."""
        times = self.unit.decode(values.double().numpy())
        steps = np.rint(times if self.change is None else self.change.decode(times))
        columns = []
        for period in self.periods:
            angles = 2 * np.pi * np.mod(period.phase + steps / period.steps, 1.0)
            for harmonic in range(1, period.harmonics + 1):
                columns += [np.sin(harmonic * angles), np.cos(harmonic * angles)]
        return torch.from_numpy(np.stack(columns, -1)) if columns else torch.zeros(len(values), 0).double()


def find_periods(steps: Array, since_monday: int, day: int, step: int) -> tuple[Period, ...]:
    """The day, week and year, as far as the dates span and distinguish them.

    steps: distinct, since the first date. since_monday, day and step: counts of the first date since a Monday, of a
    day, and of a step.
    """
    periods = []
    for (days, harmonics, parts), spanned in zip(_PERIODS, _SPANNED, strict=True):
        length = days * day / step
        phase = float(np.mod(since_monday / (days * day), 1.0))
        phases = np.floor(np.mod(phase + steps / length, 1.0) * parts + 1e-6)
        if steps[-1] >= spanned * length - 1 and len(np.unique(phases)) > 1:
            periods.append(Period(steps=length, phase=phase, harmonics=harmonics))
    return tuple(periods)


def find_time_change(distinct: Distinct, since_monday: int, day: int, step: int) -> TimeChange | None:
    """The time change by hours of the day, days of the week or hours of the week that gains most; None if none gains.

    distinct: steps since the first date, with the rows of each; see `find_periods` for the rest.
    """
    best, best_gain = None, _GAIN
    for count, part in ((7, day), (24, day // 24), (168, day // 24)):
        if part % step or not part:
            continue
        width = part // step
        cycle = count * width
        last = int(distinct.values[-1])
        if last + 1 < _CYCLES * cycle:
            continue
        offset = (since_monday // step) % cycle
        part_of = ((distinct.values.astype(np.int64) + offset) // width) % count
        rows = np.bincount(part_of, weights=distinct.counts, minlength=count)
        exposure = _exposure(offset, last + 1, width, count)
        rates = (rows + _ADDED) / exposure
        fractions = rates / rates.sum()
        gain = float((rows * np.log(fractions * count)).sum() / distinct.rows)
        # Rows of one date tell together what one row tells.
        gain -= 0.5 * (count - 1) * np.log(len(distinct)) / len(distinct)
        if gain > best_gain:
            best, best_gain = TimeChange(offset=offset, width=width, fractions=tuple(fractions.tolist())), gain
    return best


def _exposure(offset: int, length: int, width: int, count: int) -> Array:
    """The steps of each part of the cycle among ``length`` steps from ``offset``."""
    starts = np.arange(count) * width

    def before(end: int) -> Array:
        cycles, rest = divmod(end, count * width)
        return np.asarray(cycles * width + np.clip(rest - starts, 0, width), dtype=np.float64)

    return before(offset + length) - before(offset)
