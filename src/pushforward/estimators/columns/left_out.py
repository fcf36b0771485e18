"""Columns that are no part of the density: constants, copies, numbers of rows, weights, and others left out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import numpy as np
import pyarrow
import pyarrow.compute as compute
from pydantic import Field, field_validator, model_validator

from pushforward.array_types import Array
from pushforward.errors import DataError, OptionError
from pushforward.estimators.columns.arrow_types import (
    flags,
    from_counts,
    from_numbers,
    is_text,
    is_time,
    to_numbers,
    type_of,
)
from pushforward.estimators.columns.categories import Label
from pushforward.estimators.columns.kinds import numbers_of
from pushforward.estimators.columns.standard import Finite, Strict

# The relative error of sums in double and in single precision.
_ERROR, _SINGLE_ERROR = 1e-10, 1e-5

Arrays = Mapping[str, Any]


class Omission(Strict):
    """Why and how a column is left out of the density. Abstract."""

    @property
    @abstractmethod
    def label(self) -> str:
        """The word for the kind in a summary."""

    @property
    @abstractmethod
    def treatment(self) -> str:
        """The treatment of the column, in a few words."""

    @property
    def sources(self) -> tuple[str, ...]:
        """The columns that determine this one."""
        return ()

    @abstractmethod
    def restore(self, count: int, columns: Arrays, arrow: Any) -> Any | None:
        """The column of ``count`` rows, from the modelled ``columns``; None if tables of samples lack it."""

    def solved(self, source: str, array: Any, columns: Arrays) -> Any:
        """A column of `sources`, determined by this one and the others; null where one of them has a gap."""
        return columns[source]

    def counted_from(self, row: int) -> Self:
        """The same for a table whose first row is number ``row`` of a longer one."""
        return self

    @abstractmethod
    def contradicted(self, array: Any, columns: Arrays) -> Array:
        """Whether each row ``(N,)`` contradicts the rule of the column, given the ``columns`` of the same table."""


class Constant(Omission):
    """A column of one value. stored: the type of a time, whose value is the count of its unit."""

    kind: Literal["constant"] = "constant"
    value: Label
    stored: Annotated[str, Field(max_length=200)] = ""

    @field_validator("stored")
    @classmethod
    def _known(cls, name: str) -> str:
        if name:
            type_of(name)
        return name

    @property
    def label(self) -> str:
        return "constant"

    @property
    def treatment(self) -> str:
        shown = self._cell(pyarrow.string()).as_py() if self.stored else self.value
        return f"always {str(shown)[:20]}"

    def _cell(self, arrow: Any) -> Any:
        """The value as an Arrow scalar of type ``arrow``."""
        plain = arrow.value_type if pyarrow.types.is_dictionary(arrow) else arrow
        try:
            if self.stored:
                cell = from_counts(np.array([self.value], dtype=np.int64), type_of(self.stored)).cast(plain, safe=False)
            else:
                cell = pyarrow.array([self.value]).cast(plain, safe=False)
        except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError, OverflowError):
            raise DataError(f"values of type {arrow} where {self.value!r} is expected") from None
        return (cell.dictionary_encode().cast(arrow) if pyarrow.types.is_dictionary(arrow) else cell)[0]

    def restore(self, count: int, columns: Arrays, arrow: Any) -> Any:
        return pyarrow.repeat(self._cell(arrow), count)

    def contradicted(self, array: Any, columns: Arrays) -> Array:
        return ~flags(compute.equal(array, self._cell(array.type)))


class Empty(Omission):
    """A column without any content."""

    kind: Literal["empty"] = "empty"

    @property
    def label(self) -> str:
        return "empty"

    @property
    def treatment(self) -> str:
        return "left out"

    def restore(self, count: int, columns: Arrays, arrow: Any) -> Any:
        return pyarrow.nulls(count, arrow)

    def contradicted(self, array: Any, columns: Arrays) -> Array:
        return np.zeros(len(array), dtype=bool)


class Copy(Omission):
    """A column equal to another one, or to ``offset + factors @ others``, up to rounding."""

    kind: Literal["copy"] = "copy"
    of: Annotated[tuple[str, ...], Field(min_length=1, max_length=1_000)]
    factors: Annotated[tuple[Finite, ...], Field(min_length=1, max_length=1_000)] = (1.0,)
    offset: Finite = 0.0
    single: bool = False

    @model_validator(mode="after")
    def _paired(self) -> Copy:
        if len(self.of) != len(self.factors):
            raise OptionError("a factor for each column expected")
        return self

    @property
    def label(self) -> str:
        return "copy"

    @property
    def sources(self) -> tuple[str, ...]:
        return self.of

    @property
    def equal(self) -> bool:
        """Whether the column equals another one."""
        return self.factors == (1.0,) and self.offset == 0

    @property
    def formula(self) -> str:
        terms = [f"{name}" if f == 1 else f"{f:.6g} {name}" for name, f in zip(self.of, self.factors, strict=True)]
        shown = " + ".join(terms[:4]) + (f" + {len(terms) - 4} more" if len(terms) > 4 else "")
        shown += "" if self.offset == 0 else f" + {self.offset:.6g}"
        return shown.replace("+ -", "- ")

    @property
    def treatment(self) -> str:
        return f"= {self.formula}"

    def restore(self, count: int, columns: Arrays, arrow: Any) -> Any:
        if self.equal:
            source = columns[self.of[0]]
            return source if source.type == arrow else _cast(source, arrow)
        total, _ = self._sum(columns)
        whole = from_numbers(np.nan_to_num(total), arrow)
        return compute.if_else(pyarrow.array(np.isfinite(total)), whole, pyarrow.scalar(None, arrow))

    def solved(self, source: str, array: Any, columns: Arrays) -> Any:
        arrow = columns[source].type
        if self.equal:
            return _cast(array, arrow)
        factor = self.factors[self.of.index(source)]
        total, size = self._sum({**columns, source: pyarrow.repeat(0.0, len(array))})
        numbers = numbers_of(array)
        # Without the digits that the subtraction makes up.
        exponent = np.ceil(np.log10(np.maximum((size + np.abs(numbers)) / abs(factor), np.finfo(float).tiny)))
        unit = 10.0 ** np.clip(np.nan_to_num(12 - exponent), -300, 300)
        values = np.rint((numbers - total) / factor * unit) / unit
        known = np.isfinite(values)
        whole = from_numbers(np.where(known, values, 0.0), arrow)
        return compute.if_else(pyarrow.array(known), whole, pyarrow.scalar(None, arrow))

    def _sum(self, columns: Arrays) -> tuple[Array, Array]:
        """The formula and the sum of the sizes of its terms, ``(N,)`` each."""
        terms = [f * to_numbers(columns[name]) for name, f in zip(self.of, self.factors, strict=True)]
        return np.sum(terms, axis=0) + self.offset, np.sum(np.abs(terms), axis=0) + abs(self.offset)

    def contradicted(self, array: Any, columns: Arrays) -> Array:
        if self.equal:
            source = columns[self.of[0]]
            if is_text(array.type) or is_time(array.type) or is_text(source.type):
                same = compute.equal(array, _cast(source, array.type))
                both = compute.and_(compute.is_null(array), compute.is_null(source))
                return ~flags(compute.or_kleene(same, both))
        total, size = self._sum(columns)
        x = numbers_of(array)
        limit = (_SINGLE_ERROR if self.single else _ERROR) * np.maximum(size, np.abs(x))
        with np.errstate(invalid="ignore"):
            close = (np.abs(x - total) <= limit) | (x == total)
        return np.asarray(~(close | (np.isnan(x) & np.isnan(total))))


def _cast(array: Any, arrow: Any) -> Any:
    if pyarrow.types.is_dictionary(arrow):
        return array.cast(arrow.value_type).dictionary_encode().cast(arrow)
    if is_text(array.type) or is_text(arrow) or is_time(arrow):
        return array.cast(arrow, safe=False)
    missing = pyarrow.array(array.is_null(nan_is_null=True))
    return compute.if_else(missing, pyarrow.scalar(None, arrow), from_numbers(to_numbers(array), arrow))


class RowNumber(Omission):
    """A column that only identifies the row: an index, or an id. Samples get ``start``, ``start + 1``, ..."""

    kind: Literal["id"] = "id"
    start: Annotated[int, Field(ge=-(2**62), lt=2**62)] = 0
    index: bool = False

    @property
    def label(self) -> str:
        return "index" if self.index else "id"

    @property
    def treatment(self) -> str:
        return f"left out, counted from {self.start}"

    def restore(self, count: int, columns: Arrays, arrow: Any) -> Any:
        numbers = np.arange(self.start, self.start + count)
        plain = arrow.value_type if pyarrow.types.is_dictionary(arrow) else arrow
        if is_text(plain):
            text = pyarrow.array(numbers).cast(plain)
            return text.dictionary_encode().cast(arrow) if pyarrow.types.is_dictionary(arrow) else text
        return from_numbers(numbers.astype(np.float64), arrow)

    def counted_from(self, row: int) -> Self:
        return self.model_copy(update={"start": self.start + row})

    def contradicted(self, array: Any, columns: Arrays) -> Array:
        return np.zeros(len(array), dtype=bool)


class Weight(Omission):
    """The weights of the rows."""

    kind: Literal["weight"] = "weight"

    @property
    def label(self) -> str:
        return "weight"

    @property
    def treatment(self) -> str:
        return "weights of the rows"

    def restore(self, count: int, columns: Arrays, arrow: Any) -> None:
        return None

    def contradicted(self, array: Any, columns: Arrays) -> Array:
        return np.zeros(len(array), dtype=bool)


class Ignored(Omission):
    """A column that is not modelled, by choice or because its content cannot be."""

    kind: Literal["ignored"] = "ignored"

    @property
    def label(self) -> str:
        return "ignored"

    @property
    def treatment(self) -> str:
        return "left out"

    def restore(self, count: int, columns: Arrays, arrow: Any) -> None:
        return None

    def contradicted(self, array: Any, columns: Arrays) -> Array:
        return np.zeros(len(array), dtype=bool)
