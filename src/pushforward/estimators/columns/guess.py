"""Guesses of the kind of a column, each with its reason."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow
import pyarrow.compute as compute

from pushforward.array_types import Array
from pushforward.errors import DataError
from pushforward.estimators.columns.arrow_types import (
    counts_of_unit,
    is_number,
    is_text,
    is_time,
    plain,
    to_numbers,
    type_name,
    type_of,
)
from pushforward.estimators.columns.calendar import find_periods, find_time_change
from pushforward.estimators.columns.categories import MAX_LABELS, MAX_LETTERS, Category
from pushforward.estimators.columns.column import Column, LeftOutColumn, ModelledColumn, missing_cells
from pushforward.estimators.columns.dates import Date, IsoText
from pushforward.estimators.columns.hints import Hint
from pushforward.estimators.columns.interval import Interval
from pushforward.estimators.columns.left_out import Constant, Empty, Ignored, RowNumber, Weight
from pushforward.estimators.columns.numeric import numeric_kind, suited
from pushforward.estimators.columns.standard import Distinct, Standard
from pushforward.estimators.columns.written_numbers import remark_on_text

_ID_NAME = re.compile(r"(?i)(.*[_\W])?(id|uuid|guid|key|index|idx|rowid|row|rownum|nr|no)|.*[a-z]I[dD]")
_INDEX_NAME = re.compile(r"__index_level_\d+__|Unnamed: \d+(_level_\d+)?|index|")
# So many consecutive integers number the rows, wherever they start; from 0 or 1, so many.
_CONSECUTIVE, _FROM_ONE = 1_000, 10
_ENOUGH_TEXT = 5
_STEPS = (86_400, 3_600, 60, 1)
_UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


@dataclass(frozen=True)
class Content:
    """A column as it came: ``array`` has the cells that are there, dictionaries decoded."""

    name: str
    type: str
    array: Any
    rows: int

    @classmethod
    def of(cls, name: str, column: Any) -> Content:
        array = plain(column)
        missing = missing_cells(array)
        present = array.filter(pyarrow.array(~missing)) if missing.any() else array
        return cls(name, _known_type(column.type), present, len(array))

    @property
    def gaps(self) -> int:
        return self.rows - len(self.array)


def _known_type(arrow: Any) -> str:
    """The name of a type; that of the null type for a type which no kind models."""
    try:
        return type_name(type_of(type_name(arrow)))
    except DataError:
        return "null"


def guess_column(name: str, column: Any, hint: Hint, *, numbered: bool = True, scored: bool = True) -> Column:
    """The plan of one column from an Arrow array.

    numbered: whether columns that number the rows are left out. scored: whether the column gets a density.
    Raises DataError where the content does not suit the hint.
    """
    content = Content.of(name, column)
    if hint.word in _OMITTED:
        return _left_out(content, "as you said", _OMITTED[hint.word])
    if hint.word == "weight":
        return _weights(content)
    arrow = content.array.type
    if not len(content.array):
        return LeftOutColumn(name=name, type=content.type, kind=Empty(), reason="no row has a value")
    if not (is_number(arrow) or is_text(arrow) or is_time(arrow) or pyarrow.types.is_boolean(arrow)):
        return LeftOutColumn(
            name=name, type=content.type, kind=Ignored(), reason=f"values of type {arrow} are not modelled"
        )
    if is_number(arrow) and hint.word not in ("category", "date"):
        return _numeric(content, hint, numbered, scored)
    if is_text(arrow) and compute.max(compute.utf8_length(content.array)).as_py() > MAX_LETTERS:
        reason = f"text of more than {MAX_LETTERS:,} letters is not modelled"
        return _left_out(content, reason, Ignored())
    if hint.word in ("", "category", "date"):
        if hint.word != "category" and (date := _date(content, hint)) is not None:
            return date
        return _labels(content, hint)
    if is_text(arrow):
        try:
            numbers = content.array.cast(pyarrow.float64())
        except pyarrow.ArrowInvalid:
            text = _first_text(content.array)
            raise DataError(f"column {name!r} has text, {text!r}, where the kind {hint.text} takes numbers") from None
        return _numeric(Content(name, "double", numbers, content.rows), hint, numbered, scored)
    if pyarrow.types.is_boolean(arrow):
        return _numeric(content, hint, numbered, scored)
    raise DataError(f"column {name!r} has values of type {arrow}, which cannot be of kind {hint.text}")


def _first_text(array: Any) -> str:
    """The start of the first text that is no number."""
    for text in array.unique():
        try:
            text.cast(pyarrow.float64())
        except pyarrow.ArrowInvalid:
            return str(text)[:40]
    return ""


def _gaps(content: Content) -> str:
    have = "has" if content.gaps == 1 else "have"
    return f"; {content.gaps:,} of {content.rows:,} rows {have} a gap" if content.gaps else ""


def _constant(content: Content, value: Any, stored: str = "") -> LeftOutColumn:
    one = content.rows == 1
    reason = "the table has one row" if one else f"all {content.rows:,} rows have this value"
    return LeftOutColumn(name=content.name, type=content.type, kind=Constant(value=value, stored=stored), reason=reason)


def _left_out(content: Content, reason: str, kind: RowNumber | Weight | Ignored) -> LeftOutColumn:
    return LeftOutColumn(name=content.name, type=content.type, kind=kind, reason=reason)


def _weights(content: Content) -> LeftOutColumn:
    if not (is_number(content.array.type) or pyarrow.types.is_boolean(content.array.type)):
        raise DataError(f"column {content.name!r}: weights are numbers, got {content.array.type}")
    weights = to_numbers(content.array)
    wrong = weights[~(np.isfinite(weights) & (weights >= 0))]
    if content.gaps or len(wrong):
        example = f"{wrong[0]:g}" if len(wrong) else "a gap"
        raise DataError(f"column {content.name!r}: a weight of 0 or above in every row expected, got {example}")
    if not weights.any():
        raise DataError(f"column {content.name!r}: every weight is 0; at least one above 0 is needed")
    return _left_out(content, "as you said", Weight())


_OMITTED: dict[str, RowNumber | Ignored] = {
    "ignore": Ignored(),
    "id": RowNumber(),
    "index": RowNumber(index=True),
}


def _numeric(content: Content, hint: Hint, numbered: bool, scored: bool) -> Column:
    numbers = to_numbers(content.array)
    distinct = Distinct.of(numbers)
    if len(distinct) == 1 and not content.gaps and not hint.word and np.isfinite(distinct.values[0]):
        if not pyarrow.types.is_floating(content.array.type) and len(content.array.unique()) > 1:
            raise DataError(
                f"column {content.name!r} has numbers that double precision cannot tell apart; subtract a number from "
                "all, or say ignore"
            )
        value = content.array[0].as_py()
        return _constant(content, value if isinstance(value, (int, bool)) else float(value))
    if numbered and not hint.text and not content.gaps and (found := _numbers_rows(content, numbers, distinct)):
        index, words = found
        return _left_out(content, words, RowNumber(start=int(distinct.values[0]), index=index))
    whole_type = pyarrow.types.is_integer(content.array.type) or pyarrow.types.is_boolean(content.array.type)
    single = pyarrow.types.is_float32(content.array.type) or pyarrow.types.is_float16(content.array.type)
    limits = _limits(content.array.type) if whole_type else None
    guess = numeric_kind(content.name, distinct, hint, limits=limits, single=single, scored=scored)
    reason = guess.reason + _gaps(content)
    kind = guess.kind
    if isinstance(kind, Category) and whole_type:
        # Exactly, as large integers are not in float64.
        kind = Category(labels=tuple(sorted(content.array.unique().to_pylist())))
    return ModelledColumn(
        name=content.name,
        type=content.type,
        kind=kind,
        atoms=guess.atoms,
        gaps=content.gaps > 0,
        reason=reason,
        remark=guess.remark,
    )


def _limits(arrow: Any) -> tuple[float, float]:
    """The least and the largest number of a type of integers, or of booleans; infinite where float64 rounds it."""
    if pyarrow.types.is_boolean(arrow):
        return 0.0, 1.0
    limits = np.iinfo(arrow.to_pandas_dtype())
    return float(limits.min) if limits.bits < 64 else -np.inf, float(limits.max) if limits.bits < 64 else np.inf


def _numbers_rows(content: Content, numbers: Array, distinct: Distinct) -> tuple[bool, str] | None:
    """Whether the column only numbers the rows: (True, reason) for an index, (False, reason) for an id."""
    rows = len(numbers)
    if len(distinct) < rows or rows < 3 or not np.isfinite(distinct.values).all():
        return None
    if not (distinct.values == np.floor(distinct.values)).all():
        return None
    first, last = distinct.values[0], distinct.values[-1]
    consecutive = last - first == rows - 1
    in_order = bool((np.diff(numbers) > 0).all())
    typical = _INDEX_NAME.fullmatch(content.name) is not None
    enough = rows >= _CONSECUTIVE or typical or (first in (0, 1) and rows >= _FROM_ONE)
    if consecutive and enough and (in_order or rows >= _CONSECUTIVE):
        return in_order, "consecutive integers" + (", one for each row in order" if in_order else ", each once")
    if typical or (rows >= _FROM_ONE and _ID_NAME.fullmatch(content.name)):
        return typical, "another integer in each row, and the name of an id"
    return None


def _date(content: Content, hint: Hint) -> Column | None:
    """The plan of a column of dates or times; None if it holds none."""
    array, form, stored = content.array, None, content.type
    if is_text(array.type):
        form = IsoText.finest(array)
        pattern = form.pattern if form is not None else ""
        if form is None or not compute.all(compute.match_substring_regex(array, pattern)).as_py():
            if hint.word == "date":
                raise DataError(
                    f"column {content.name!r} has text that is no date in ISO format, such as {str(array[0])[:40]!r}"
                )
            return None
        try:
            array = form.read(array)
        except DataError:
            return None
        stored = type_name(form.arrow)
    if not is_time(array.type):
        if hint.word == "date":
            raise DataError(
                f"column {content.name!r} has values of type {array.type}, where dates or ISO text are expected"
            )
        return None
    counts = np.asarray(counts_of_unit(array).to_numpy(zero_copy_only=False))
    origin = int(counts.min())
    values, repeats = np.unique(counts - origin, return_counts=True)
    if len(values) == 1 and not content.gaps:
        if form is not None:
            return _constant(content, content.array[0].as_py())
        return _constant(content, origin, stored)
    step = _resolution(values, stored)
    steps = Distinct(values / step, repeats)
    interval = suited(_range(stored, origin, step), steps)
    day = _counts_of_day(stored)
    # The fifth of January 1970 was a Monday.
    since_monday = origin - 4 * (day or 0)
    change = None if day is None else find_time_change(steps, since_monday, day, step)
    periods = () if day is None else find_periods(steps.values, since_monday, day, step)
    points = interval.encode(steps.values)[0] if change is None else change.encode(steps.values)[0]
    unit = Standard.of(Distinct(points, repeats))
    kind = Date(
        origin=origin,
        step=step,
        text=form,
        stored=stored,
        interval=interval,
        change=change,
        periods=periods,
        unit=unit,
    )
    reason = "text in ISO format" if form is not None else f"type {stored}"
    reason += "" if change is None else f"; {change.parts} differ in their rows"
    return ModelledColumn(
        name=content.name, type=content.type, kind=kind, gaps=content.gaps > 0, reason=reason + _gaps(content)
    )


def _range(stored: str, origin: int, step: int) -> Interval:
    """The bounds, in steps since the origin, of times of day, and of durations none of which is negative."""
    arrow = type_of(stored)
    of_day = pyarrow.types.is_time(arrow)
    low = -(origin // step) - 0.5 if of_day or (pyarrow.types.is_duration(arrow) and origin >= 0) else None
    high = (86_400 * _UNITS[arrow.unit] - 1 - origin) // step + 0.5 if of_day else None
    return Interval(low=low, high=high)


def _counts_of_day(stored: str) -> int | None:
    """The counts of a day in the unit of a type of dates; None for times of day and durations."""
    arrow = type_of(stored)
    if pyarrow.types.is_timestamp(arrow):
        return 86_400 * _UNITS[arrow.unit]
    if pyarrow.types.is_date(arrow):
        return 1 if pyarrow.types.is_date32(arrow) else 86_400_000
    return None


def _resolution(offsets: Array, stored: str) -> int:
    """The largest of day, hour, minute, second or a decimal fraction of one that divides all offsets."""
    unit = re.sub(r".*\[(\w+).*", r"\1", stored)
    if unit not in _UNITS or stored.startswith("date64"):
        return 86_400_000 if stored.startswith("date64") else 1
    second = _UNITS[unit]
    sizes = [seconds * second for seconds in _STEPS] + [second // 10**k for k in range(1, 10) if second >= 10**k]
    return next((size for size in sizes if not (offsets % size).any()), 1)


def _labels(content: Content, hint: Hint) -> Column:
    """The plan of a column of text, booleans, or other values as categories."""
    column = _labels_or_text(content, hint)
    if hint.word or not is_text(content.array.type):
        return column
    counted = compute.value_counts(content.array)
    counts = counted.field("counts").to_numpy(zero_copy_only=False)
    return column.model_copy(update={"remark": remark_on_text(counted.field("values"), counts)})


def _labels_or_text(content: Content, hint: Hint) -> Column:
    array, asked = content.array, hint.word == "category"
    counted = compute.value_counts(array if not is_time(array.type) else array.cast(pyarrow.string()))
    values, counts = counted.field("values"), counted.field("counts").to_numpy(zero_copy_only=False)
    if len(values) == 1 and not content.gaps and not asked:
        return _constant(content, values[0].as_py())
    rows = len(array)
    if len(values) > MAX_LABELS and asked:
        raise DataError(
            f"column {content.name!r} has {len(values):,} labels, at most {MAX_LABELS:,} are modelled; group them, or "
            "say ignore"
        )
    if len(values) > MAX_LABELS:
        return _left_out(content, f"{len(values):,} different texts in {rows:,} rows", RowNumber(start=1))
    if not asked and is_text(array.type) and rows >= _ENOUGH_TEXT and len(values) > 0.8 * rows:
        reason = f"{len(values):,} different texts in {rows:,} rows"
        return _left_out(content, reason, RowNumber(start=1))
    labels = values.to_pylist()
    if not isinstance(labels[0], (str, bool, int)):
        labels = [float(label) for label in labels]
        if not np.isfinite(labels).all():
            raise DataError(f"column {content.name!r} has an infinite value, which is no label")
    common = int(counts.max())
    reason = "as you said" if asked else "booleans" if isinstance(labels[0], bool) else f"text of {len(labels)} labels"
    if isinstance(labels[0], str):
        reason += f", the commonest in {common / rows:.0%} of rows"
    return ModelledColumn(
        name=content.name,
        type=content.type,
        kind=Category(labels=tuple(sorted(labels))),
        gaps=content.gaps > 0,
        reason=reason + _gaps(content),
    )
