"""Dates, times and durations as numbers of their resolution, and ISO text."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow
import pyarrow.compute as compute
from pydantic import Field

from pushforward.array_types import Array
from pushforward.errors import DataError
from pushforward.estimators.columns.arrow_types import (
    counts_of_unit,
    from_counts,
    is_text,
    is_time,
    to_numbers,
    type_of,
)
from pushforward.estimators.columns.calendar import Calendar, Period, TimeChange
from pushforward.estimators.columns.interval import Interval
from pushforward.estimators.columns.kinds import Axis, Continuous, tolerance
from pushforward.estimators.columns.standard import Strict

_ISO = re.compile(r"\d{4}-\d\d-\d\d(?:([T ])\d\d:\d\d(:\d\d(?:\.(\d{1,9}))?)?(Z?))?")
# The distance from an end of a step that is taken for rounding.
_AT_END = 1e-6
_Unit = Literal["D", "m", "s", "ms", "us", "ns"]


class IsoText(Strict):
    """The form of dates in text: the unit that is written, the letter before the time, and the zone."""

    unit: _Unit
    separator: Literal["T", " "] = "T"
    zone: Literal["", "Z"] = ""

    @classmethod
    def of(cls, example: str) -> IsoText | None:
        """The form of a text; None if it is no date in ISO format."""
        match = _ISO.fullmatch(example)
        if match is None:
            return None
        separator, seconds, fraction, zone = match.groups()
        if separator is None:
            return cls(unit="D")
        unit = "m" if seconds is None else "s" if fraction is None else ("ms", "us", "ns")[(len(fraction) - 1) // 3]
        return cls.model_validate({"unit": unit, "separator": separator, "zone": zone})

    @classmethod
    def finest(cls, text: Any) -> IsoText | None:
        """The form of the longest of several texts, which shows all digits that are written; None if it is no date."""
        lengths = compute.utf8_length(text.cast(pyarrow.large_string()))
        return cls.of(str(text[compute.index(lengths, compute.max(lengths)).as_py()]))

    @property
    def pattern(self) -> str:
        """The regular expression of a text of this form."""
        if self.unit == "D":
            return r"^\d{4}-\d\d-\d\d$"
        digits = {"m": "", "s": r":\d\d"}
        rest = digits.get(self.unit, r":\d\d(\.\d{1,9})?")
        return rf"^\d{{4}}-\d\d-\d\d{self.separator}\d\d:\d\d{rest}{self.zone}$"

    @property
    def arrow(self) -> Any:
        """The Arrow type of the times."""
        if self.unit == "D":
            return pyarrow.date32()
        return pyarrow.timestamp("s" if self.unit == "m" else self.unit)

    def read(self, text: Any) -> Any:
        """Times from an Arrow array of text. Raises DataError for text that is no date."""
        text = text.cast(pyarrow.string())
        if self.zone:
            text = compute.utf8_rtrim(text, "Z")
        try:
            return text.cast(self.arrow)
        except pyarrow.ArrowInvalid:
            raise DataError(f"text that is no date, {_first_other(text, self.arrow)!r}; write YYYY-MM-DD") from None

    def write(self, times: Any) -> Any:
        """An Arrow array of text from times."""
        if not len(times):
            return pyarrow.array([], pyarrow.string())
        moments = np.asarray(times.to_numpy(zero_copy_only=False)).astype(f"datetime64[{self.unit}]")
        words = np.char.replace(np.datetime_as_string(moments), "T", self.separator)
        return pyarrow.array(np.char.add(words, self.zone) if self.zone else words)


class Date(Continuous):
    """A date, time or duration, as the number of steps since an origin; dequantised within a step.

    origin, step: counts of the unit of the column's type. text: the form of a date that is stored as text. interval:
    bounds half a step from a value, in steps since the origin, with a map to the real line. change: of the time, where
    some parts of a week or day have more rows than others. periods: of the features that models see of a date.
    """

    kind: Literal["date"] = "date"
    origin: Annotated[int, Field(ge=-(2**63), lt=2**63)]
    step: Annotated[int, Field(ge=1, lt=2**62)] = 1
    text: IsoText | None = None
    stored: str
    interval: Interval = Interval()
    change: TimeChange | None = None
    periods: Annotated[tuple[Period, ...], Field(max_length=10)] = ()

    @property
    def noisy(self) -> bool:
        return True

    @property
    def label(self) -> str:
        return "date" if self.stored.startswith(("date", "timestamp")) else "time"

    @property
    def treatment(self) -> str:
        return f"number of {self._step}, dequantised" + ("" if self.interval.open else f", {self.interval.map_name}")

    @property
    def calendar(self) -> Calendar | None:
        if not self.periods:
            return None
        # Models keep the calendar: more training rows leave it as it is.
        unit = self.unit.model_copy(update={"reach": None})
        return Calendar(unit=unit, change=self.change, periods=self.periods)

    @property
    def axis(self) -> Axis:
        return "date" if self.label == "date" else "hour"

    def on_axis(self, array: Any) -> Array:
        hours = to_numbers(self.times(array)) * (self._nanoseconds / 3_600e9)
        return np.asarray(hours / 24 if self.axis == "date" else hours)

    @property
    def _nanoseconds(self) -> int:
        """The length of the unit of the stored type."""
        units = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1, "day": 86_400 * 10**9}
        return units[re.sub(r".*\[(\w+).*", r"\1", self.stored)]

    @property
    def _step(self) -> str:
        size = self.step * self._nanoseconds
        for name, length in (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)):
            if size % (length * 10**9) == 0:
                count = size // (length * 10**9)
                return f"{name}s" if count == 1 else f"{count} {name}s"
        return "steps of a fraction of a second"

    @property
    def expected(self) -> str:
        return "a date" if self.label == "date" else "a time"

    def to_line(self, array: Any, noise: Array) -> tuple[Array, Array, Array]:
        counts = np.asarray(counts_of_unit(self.times(array)).to_numpy(zero_copy_only=False))
        # In integers: nanoseconds since 1970 exceed the precision of float64.
        steps = (counts - self.origin) / self.step
        # A time between two steps of the training table, such as an hour among days, is none of its values.
        possible = self.interval.contains(steps) & ((counts - self.origin) % self.step == 0)
        moved = self.interval.inside(np.where(possible, steps + noise - 0.5, 0.0), np.float64)
        if self.change is not None:
            return *self.change.encode(moved), possible
        return *self.interval.encode(moved), possible

    def edges(self, array: Any) -> tuple[Array, Array]:
        low, high = super().edges(array)
        counts = np.asarray(counts_of_unit(self.times(array)).to_numpy(zero_copy_only=False))
        steps = (counts - self.origin) / self.step
        at_low = steps - 0.5 <= (-np.inf if self.interval.low is None else self.interval.low + _AT_END)
        at_high = steps + 0.5 >= (np.inf if self.interval.high is None else self.interval.high - _AT_END)
        return np.where(at_low, -np.inf, low), np.where(at_high, np.inf, high)

    def times(self, array: Any) -> Any:
        """The cells as times of the type that is stored."""
        if is_text(array.type):
            array = (self.text or IsoText.finest(array) or IsoText(unit="D")).read(array) if len(array) else array
        elif not is_time(array.type):
            raise DataError(f"values of type {array.type} where dates are expected")
        try:
            return array.cast(type_of(self.stored), safe=False)
        except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError):
            raise DataError(f"values of type {array.type} where {self.stored} is expected") from None

    def nearest(self, array: Any) -> Any:
        """The nearest steps, and the first or last one for dates a little beyond it."""
        counts = np.asarray(counts_of_unit(self.times(array)).to_numpy(zero_copy_only=False))
        steps = (counts - self.origin) / self.step
        low, high = self.interval.low, self.interval.high
        whole = np.rint(steps).clip(
            -np.inf if low is None else np.ceil(low), np.inf if high is None else np.floor(high)
        )
        middle = self.unit.decode(np.zeros(1))
        middle = self.interval.decode(middle) if self.change is None else self.change.decode(middle)
        near = np.abs(whole - steps) <= max(0.5, tolerance(low, high, float(middle[0])))
        times = from_counts(self.origin + whole.astype(np.int64) * self.step, type_of(self.stored))
        if is_text(array.type):
            times = (self.text or IsoText.finest(array) or IsoText(unit="D")).write(times)
        return compute.if_else(pyarrow.array(near), times.cast(array.type, safe=False), None)

    def from_line(self, points: Array, arrow: Any) -> Any:
        least, most = np.iinfo(np.int64).min // 2, np.iinfo(np.int64).max // 2
        stored = type_of(self.stored)
        if pyarrow.types.is_date32(stored) or pyarrow.types.is_time32(stored):
            least, most = -(2**31), 2**31 - 1
        if self.interval.low is not None:
            least = self.origin + int(np.ceil(self.interval.low)) * self.step
        if self.interval.high is not None:
            most = self.origin + int(np.floor(self.interval.high)) * self.step
        points = self.interval.decode(points) if self.change is None else self.change.decode(points)
        steps = np.rint(np.clip(points, (least - self.origin) / self.step, (most - self.origin) / self.step))
        counts = np.clip(self.origin + steps.astype(np.int64) * self.step, least, most)
        times = from_counts(counts, stored)
        return times if self.text is None else self.text.write(times).cast(arrow)


def times_in_text(text: Any) -> Any:
    """Times from an Arrow array of dates in ISO format; the array itself if one of its texts is none."""
    form = IsoText.finest(text) if text.null_count < len(text) else None
    try:
        return text if form is None else form.read(text)
    except DataError:
        return text


def _first_other(text: Any, arrow: Any) -> str:
    """The start of the first text that is no time of a type."""
    for each in text.unique():
        try:
            each.cast(arrow)
        except pyarrow.ArrowInvalid:
            return str(each)[:40]
    return ""
