"""Kinds of columns with a label in each row: categories, booleans, and numbers of few values."""

from __future__ import annotations

import contextlib
from typing import Annotated, Any, Literal, Self

import numpy as np
import pyarrow
import pyarrow.compute as compute
from pydantic import Field, StrictBool, StrictFloat, StrictInt, StrictStr, model_validator

from pushforward.array_types import Array
from pushforward.errors import DataError, OptionError
from pushforward.estimators.columns.arrow_types import flags, is_number, is_text
from pushforward.estimators.columns.kinds import Cells, Kind, numbers_of

MAX_LABELS, MAX_LETTERS = 1_000, 10_000

_Number = StrictInt | Annotated[StrictFloat, Field(allow_inf_nan=False)]
Label = StrictBool | _Number | Annotated[StrictStr, Field(max_length=MAX_LETTERS)]


class Category(Kind):
    """One of finitely many labels: text, booleans or numbers, all of one type."""

    kind: Literal["category"] = "category"
    labels: Annotated[tuple[Label, ...], Field(min_length=1, max_length=MAX_LABELS)]

    @model_validator(mode="after")
    def _of_one_type(self) -> Self:
        types = {type(label) for label in self.labels}
        if len(types) > 1 or len(set(self.labels)) < len(self.labels):
            raise OptionError("distinct labels of one type expected")
        return self

    @property
    def states(self) -> int:
        return len(self.labels)

    @property
    def valued(self) -> bool:
        return False

    @property
    def noisy(self) -> bool:
        return False

    @property
    def numeric(self) -> bool:
        """Whether the labels are numbers."""
        return type(self.labels[0]) in (int, float)

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(label for label in self.labels if isinstance(label, str))

    @property
    def label(self) -> str:
        names = {bool: "boolean", str: "category", int: "integer", float: "few values"}
        return names[type(self.labels[0])]

    @property
    def treatment(self) -> str:
        return f"table of {len(self.labels)} probabilities"

    @property
    def expected(self) -> str:
        shown = ", ".join(map(str, self.labels[:8]))
        return f"one of {shown}" + (f" and {len(self.labels) - 8} more" if len(self.labels) > 8 else "")

    def encode(self, array: Any, noise: Array) -> Cells:
        states = self._places(array)
        cells = Cells.blank(len(states))
        return Cells(np.maximum(states, 0), cells.values, cells.log_slopes, states >= 0)

    @property
    def _whole_labels(self) -> Any:
        """The labels that are whole numbers, unsigned where one is beyond the range of int64."""
        return pyarrow.array(self.labels, pyarrow.uint64() if max(map(int, self.labels)) >= 2**63 else pyarrow.int64())

    def _places(self, array: Any) -> Array:
        """The place of each cell among the labels, -1 for another label."""
        if type(self.labels[0]) is int and pyarrow.types.is_integer(array.type):
            labels = self._whole_labels
            with contextlib.suppress(pyarrow.ArrowInvalid):
                return _index_in(array.cast(labels.type), labels)
        if self.numeric:
            ordered = np.argsort(np.asarray(self.labels, dtype=np.float64))
            levels = np.asarray(self.labels, dtype=np.float64)[ordered]
            numbers = numbers_of(array)
            if pyarrow.types.is_float32(array.type) or pyarrow.types.is_float16(array.type):
                levels = levels.astype(array.type.to_pandas_dtype()).astype(np.float64)
            places = np.minimum(np.searchsorted(levels, numbers), len(levels) - 1)
            return np.where(levels[places] == numbers, ordered[places], -1)
        if type(self.labels[0]) is bool:
            array = _booleans(array)
        elif not is_text(array.type):
            array = array.cast(pyarrow.string())
        return _index_in(array, pyarrow.array(self.labels).cast(array.type))

    def decode(self, states: Array, values: Array, arrow: Any) -> Any:
        plain = arrow.value_type if pyarrow.types.is_dictionary(arrow) else arrow
        labels = self._whole_labels if type(self.labels[0]) is int else pyarrow.array(self.labels)
        labels = labels.cast(plain, safe=False)
        chosen = labels.take(pyarrow.array(np.clip(states, 0, len(self.labels) - 1)))
        return chosen.dictionary_encode().cast(arrow) if pyarrow.types.is_dictionary(arrow) else chosen


def _index_in(array: Any, labels: Any) -> Array:
    """The place of each cell among labels of its type, -1 for another value."""
    places = compute.index_in(array, labels).fill_null(-1)
    return np.asarray(places.to_numpy(zero_copy_only=False), dtype=np.int64)


def _booleans(array: Any) -> Any:
    """Booleans from booleans, from the numbers 0 and 1, or from text such as "True"; null for anything else."""
    if pyarrow.types.is_boolean(array.type):
        return array
    if is_number(array.type):
        numbers = numbers_of(array)
        return pyarrow.array(numbers == 1, mask=(numbers != 0) & (numbers != 1))
    if not is_text(array.type):
        raise DataError(f"values of type {array.type} where booleans are expected")
    lower = compute.utf8_lower(array)
    true = compute.is_in(lower, pyarrow.array(["true", "1"], lower.type))
    known = compute.is_in(lower, pyarrow.array(["true", "false", "1", "0"], lower.type))
    return pyarrow.array(flags(true), mask=~flags(known))
