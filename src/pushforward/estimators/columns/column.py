"""Columns of a plan: the kind of a modelled column with its atoms and gaps, or the reason for leaving a column out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import numpy as np
import pyarrow
import pyarrow.compute as compute
from pydantic import Field, field_validator

from pushforward.array_types import Array
from pushforward.estimators.columns.arrow_types import (
    flags,
    from_numbers,
    is_number,
    is_text,
    plain,
    to_numbers,
    type_of,
)
from pushforward.estimators.columns.categories import Category
from pushforward.estimators.columns.continuous import MAX_ATOMS, Bounded, Grid, Periodic, Real
from pushforward.estimators.columns.dates import Date
from pushforward.estimators.columns.kinds import Cells, numbers_of
from pushforward.estimators.columns.left_out import Constant, Copy, Empty, Ignored, RowNumber, Weight
from pushforward.estimators.columns.standard import Strict
from pushforward.estimators.columns.tables import MAX_NAME
from pushforward.estimators.encoded import UNKNOWN, ColumnShape

# Atoms that a treatment lists.
_LISTED = 10

AnyKind = Annotated[Real | Bounded | Grid | Periodic | Date | Category, Field(discriminator="kind")]
AnyOmission = Annotated[Constant | Copy | Empty | RowNumber | Weight | Ignored, Field(discriminator="kind")]


class _Column(Strict):
    """A column of the training table. Abstract.

    name and type: its own. reason: of its kind, in words. remark: a sentence about content that may be a mistake.
    """

    name: Annotated[str, Field(max_length=MAX_NAME)]
    type: Annotated[str, Field(max_length=200)]
    reason: Annotated[str, Field(max_length=2_000)]
    remark: Annotated[str, Field(max_length=2_000)] = ""

    @field_validator("type")
    @classmethod
    def _known(cls, name: str) -> str:
        type_of(name)
        return name

    @property
    def arrow(self) -> Any:
        """The Arrow type."""
        return type_of(self.type)


class ModelledColumn(_Column):
    """A column of the density.

    The states are those of the kind, then one of each of the atoms (values with a mass of their own), then the gap.
    """

    modelled: Literal[True] = True
    kind: AnyKind
    atoms: Annotated[tuple[float, ...], Field(max_length=MAX_ATOMS)] = ()
    gaps: bool = False

    @property
    def shape(self) -> ColumnShape:
        states = self.kind.states + len(self.atoms) + self.gaps
        return ColumnShape(states, self.kind.valued, self.kind.calendar)

    @property
    def expected(self) -> str:
        """Which cells are possible, as the end of a sentence."""
        return self._among("")

    def usual(self, cell: Any) -> str:
        """What is expected in place of an unusual cell, an Arrow array of length 1, as the end of a sentence."""
        if self.kind.reach is None or not self.encode(cell, np.full(1, 0.5), partial=True).possible.all():
            return self.expected
        low, high = self._written(np.zeros(2, dtype=np.int64), np.array(self.kind.reach))
        return self._among(f" near the training rows ({low} to {high})")

    def _among(self, near: str) -> str:
        """The numbers or labels of the kind, the atoms and the gap. near: which numbers, in words."""
        extra = [f"{atom:g}" for atom in self.atoms] + (["a gap"] if self.gaps else [])
        return " or ".join([self.kind.expected + near, *extra])

    @property
    def treatment(self) -> str:
        parts = [self.kind.treatment]
        if self.atoms:
            parts.append(_count_of(self.atoms))
        return " + ".join([*parts, *(["gaps"] if self.gaps else [])])

    def encode(self, array: Any, noise: Array, *, partial: bool = False) -> Cells:
        """The cells of an Arrow array. partial: gaps where training had none are unknown, not impossible."""
        array = plain(array)
        missing = missing_cells(array)
        states = np.where(missing, self._gap if self.gaps else UNKNOWN, 0)
        possible = ~missing | self.gaps | partial
        atom = self._atoms_in(array, missing)
        states = np.where(atom >= 0, self.kind.states + atom, states)
        ordinary = ~missing & (atom < 0)
        if ordinary.all():
            return self.kind.encode(array, noise)
        rest = np.flatnonzero(ordinary)
        cells = Cells(states, np.zeros(len(array)), np.zeros(len(array)), possible)
        if len(rest):
            part = self.kind.encode(array.take(pyarrow.array(rest)), noise[rest])
            cells.states[rest], cells.values[rest] = part.states, part.values
            cells.log_slopes[rest], cells.possible[rest] = part.log_slopes, part.possible
        return cells

    def unusual(self, array: Any) -> Array:
        """Which cells ``(N,)`` of an Arrow array are not possible, or numbers far from those of all training rows."""
        cells = self.encode(array, np.full(len(array), 0.5), partial=True)
        return ~cells.possible | self.far(cells.states, cells.values)

    def far(self, states: Array, values: Array) -> Array:
        """Which encoded cells ``(N,)`` are numbers far from those of all training rows."""
        return np.asarray((states == 0) & self.kind.far(values))

    def reaching(self, states: Array, values: Array) -> Self:
        """The column whose training rows have these encoded cells too."""
        return self.model_copy(update={"kind": self.kind.reaching(values[states == 0])})

    def edges(self, array: Any) -> tuple[Array, Array]:
        """The encoded ends ``(N,)`` of the cells of a dequantised column; 0 for rows without a possible value."""
        array = plain(array)
        lows, highs = np.zeros(len(array)), np.zeros(len(array))
        cells = self.encode(array, np.full(len(array), 0.5), partial=True)
        rows = np.flatnonzero((cells.states == 0) & cells.possible)
        if len(rows):
            lows[rows], highs[rows] = self.kind.edges(array.take(pyarrow.array(rows)))
        return lows, highs

    @property
    def _gap(self) -> int:
        return self.kind.states + len(self.atoms)

    def _atoms_in(self, array: Any, missing: Array) -> Array:
        """The place of each cell among the atoms, -1 for other values."""
        places = np.full(len(array), -1)
        if self.atoms and (is_number(array.type) or is_text(array.type)):
            numbers = to_numbers(array) if is_number(array.type) else _numbers_in_text(array)
            for place, atom in enumerate(self.atoms):
                single = np.float64(np.float32(atom)) if pyarrow.types.is_float32(array.type) else atom
                places[(numbers == single) & ~missing] = place
        return places

    def nearest(self, array: Any) -> Any:
        """The possible cells nearest to those of an Arrow array that are not possible; null where none is near."""
        near = self.kind.nearest(array)
        if not self.atoms or not is_number(near.type):
            return near
        numbers, found, atoms = numbers_of(array), to_numbers(near), np.asarray(self.atoms)
        atom = atoms[np.abs(numbers[:, None] - atoms).argmin(1)]
        nearer = np.abs(atom - numbers) < np.abs(found - numbers)
        return pyarrow.array(np.where(nearer, atom, found), from_pandas=True)

    def decode(self, states: Array, values: Array) -> Any:
        """An Arrow array of the column's type; null for gaps and for unknown content."""
        arrow = self.arrow
        known = (states >= 0) & (states < self.kind.states)
        if self.kind.valued:
            known &= np.isfinite(values)
        column = self.kind.decode(np.where(known, states, 0), np.where(known, values, 0.0), arrow)
        for place, atom in enumerate(self.atoms):
            at = states == self.kind.states + place
            column = compute.if_else(pyarrow.array(at), from_numbers(np.array([atom]), arrow)[0], column)
            known |= at
        if known.all():
            return column
        if pyarrow.types.is_dictionary(arrow):
            return pyarrow.DictionaryArray.from_arrays(
                compute.if_else(pyarrow.array(known), column.indices, None), column.dictionary
            )
        return compute.if_else(pyarrow.array(known), column, pyarrow.scalar(None, arrow))

    @property
    def state_labels(self) -> tuple[str, ...]:
        """A text for each state: the label, the atom, "gaps", or "other values" for the state that has numbers."""
        states = np.arange(int(self.kind.valued), self._gap)
        labels = self._written(states, np.zeros(len(states)))
        return (*["other values"] * self.kind.valued, *labels, *["gaps"] * self.gaps)

    def _written(self, states: Array, values: Array) -> list[str]:
        """The texts of encoded cells; of numbers, six digits."""
        cells = plain(self.decode(states, values)).to_pylist()
        return [f"{cell:.6g}" if isinstance(cell, float) else str(cell) for cell in cells]

    def on_axis(self, states: Array, values: Array) -> Array:
        """``(N,)``: the numbers of encoded cells on the axis of charts, NaN where there is none."""
        here = (states == 0) & np.isfinite(values)
        numbers = np.full(len(states), np.nan)
        if here.any():
            numbers[here] = self.kind.on_axis(self.decode(states[here], values[here]))
        return numbers


class LeftOutColumn(_Column):
    """A column that is no part of the density."""

    modelled: Literal[False] = False
    kind: AnyOmission

    @property
    def treatment(self) -> str:
        return self.kind.treatment

    @property
    def expected(self) -> str:
        """Which cells are possible, as the end of a sentence."""
        return self.kind.treatment

    def contradicted(self, array: Any, columns: Mapping[str, Any]) -> Array:
        """Which rows ``(N,)`` of a table with these columns contradict the plan."""
        missing = [name for name in self.kind.sources if name not in columns]
        return np.zeros(len(array), dtype=bool) if missing else self.kind.contradicted(plain(array), columns)


Column = ModelledColumn | LeftOutColumn


def _count_of(atoms: tuple[float, ...]) -> str:
    """The atoms, or their number where they are many."""
    if len(atoms) > _LISTED:
        return f"{len(atoms)} atoms"
    return f"{'atom' if len(atoms) == 1 else 'atoms'} {', '.join(f'{atom:g}' for atom in atoms)}"


def _numbers_in_text(array: Any) -> Array:
    """``(N,)``: the numbers that text holds, NaN for an empty cell. Raises DataError for other text."""
    empty = compute.equal(array, pyarrow.scalar("", array.type))
    return numbers_of(compute.if_else(empty, pyarrow.scalar(None, array.type), array))


def missing_cells(array: Any) -> Array:
    """Which cells ``(N,)`` are null, NaN or empty text."""
    missing = flags(array.is_null(nan_is_null=True))
    if is_text(array.type):
        missing = missing | flags(compute.equal(array, pyarrow.scalar("", array.type)))
    return missing
