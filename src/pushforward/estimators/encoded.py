"""Encoded rows of a table: a state of each column and, in one of its states, a real value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

from pushforward.array_types import Array
from pushforward.errors import ShapeError
from pushforward.estimators.columns.calendar import Calendar

# The state of a column whose content is not known, so that a model integrates it out or predicts it.
UNKNOWN = -1


@dataclass(frozen=True)
class ColumnShape:
    """The possible contents of an encoded column: ``states`` discrete states, and whether state 0 carries a real value.

    A real column has one state with a value. A column of four labels has four states without a value. A column with
    zeros and gaps has three states: 0 for other values, 1 for zero, 2 for a gap. calendar: of values that are dates.
    """

    states: int = 1
    value: bool = True
    calendar: Calendar | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.states < 1 or (self.states == 1 and not self.value):
            raise ShapeError(f"a column has a value or at least two states, got {self}")


@dataclass(frozen=True, eq=False)
class EncodedRows:
    """N rows of C columns, as models of tables take them.

    states: ``(N, C)`` int64, the state of each column, or `UNKNOWN`. values: ``(N, C)`` float64, 0 where a column has
    no value, NaN where its state is 0 but its value is not known. log_slopes: ``(N, C)`` float64, the log of the
    derivative of each value by the original one, 0 where there is none; added to the log-density of the values, it
    gives that in the original units. impossible: ``(N,)`` bool, rows of density zero, such as those with a label or a
    bound that no training row had; their states and values mean nothing.

    >>> import torch
    >>> from pushforward.estimators.encoded import EncodedRows
    >>> rows = EncodedRows.of(torch.tensor([[0, 2]]), torch.tensor([[1.5, 0.0]]))
    >>> len(rows), rows.log_slopes.shape
    (1, torch.Size([1, 2]))
    """

    states: Tensor
    values: Tensor
    log_slopes: Tensor
    impossible: Tensor

    @classmethod
    def of(cls, states: Tensor, values: Tensor) -> Self:
        """Rows in their own units, all of them possible."""
        values = values.double()
        return cls(states, values, torch.zeros_like(values), torch.zeros(len(values), dtype=torch.bool))

    @classmethod
    def unknown(cls, shapes: Sequence[ColumnShape], count: int) -> Self:
        """Rows of which nothing is known."""
        states = torch.full((count, len(shapes)), UNKNOWN)
        return cls.of(states, torch.zeros(count, len(shapes), dtype=torch.float64))

    def __len__(self) -> int:
        return len(self.states)

    def take(self, rows: Tensor) -> Self:
        """The rows numbered ``rows: (B,)``, or those for which a mask ``(N,)`` is true, in their order."""
        return type(self)(self.states[rows], self.values[rows], self.log_slopes[rows], self.impossible[rows])

    def columns(self, columns: Sequence[int]) -> Self:
        """The columns numbered ``columns``, in that order; a row stays impossible."""
        chosen = list(columns)
        parts = (part[:, chosen] for part in (self.states, self.values, self.log_slopes))
        return replace(self, **dict(zip(("states", "values", "log_slopes"), parts, strict=True)))

    def repeat(self, count: int) -> Self:
        """Each row ``count`` times, one after the other."""
        parts = (self.states, self.values, self.log_slopes, self.impossible)
        return type(self)(*(part.repeat_interleave(count, 0) for part in parts))

    def present(self, shapes: Sequence[ColumnShape]) -> Tensor:
        """``(N, C)`` bool: where a value is known."""
        carries = torch.tensor([shape.value for shape in shapes], dtype=torch.bool)
        return (self.states == 0) & carries & ~self.values.isnan()

    def jacobian(self) -> Tensor:
        """``(N,)``: the sum of the log-slopes of the values."""
        return self.log_slopes.sum(1)


def distinct_rows(content: Array) -> tuple[Array, Array]:
    """The place of the first of each of the distinct rows of a matrix, and the number of each row's distinct one."""
    if content.shape[1] == 0:
        return np.zeros(min(1, len(content)), dtype=np.int64), np.zeros(len(content), dtype=np.int64)
    # Adding 0 makes minus zero equal to zero.
    content = np.ascontiguousarray(content + content.dtype.type(0))
    packed = content.view(f"V{content.itemsize * content.shape[1]}")[:, 0]
    _, first, inverse = np.unique(packed, return_index=True, return_inverse=True)
    return first, inverse


def joined(parts: Sequence[EncodedRows]) -> EncodedRows:
    """The rows of all ``parts``, one after the other."""
    names = ("states", "values", "log_slopes", "impossible")
    return EncodedRows(*(torch.cat([getattr(part, name) for part in parts]) for name in names))
