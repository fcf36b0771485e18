"""Tables to predict from: cells unlike those of all training rows become the nearest usual ones, or unknown."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow

from pushforward.array_types import Array
from pushforward.errors import CellWarning, NearestCellWarning, UnknownCellWarning
from pushforward.estimators.columns.arrow_types import flags, is_number, plain
from pushforward.estimators.columns.column import ModelledColumn
from pushforward.estimators.columns.plan import ColumnPlan
from pushforward.estimators.columns.tables import Table

# Numbers below which four digits tell them.
_EXACT = 1000


def possible_cells(plan: ColumnPlan, table: Table) -> Table:
    """The table with `nearest_cells`, and gaps in place of others unlike those of all training rows.

    These have density zero, as a label that no training row has, or are numbers or dates far from those of all rows.
    Warnings name the first of each column.
    """
    table, others = _with_nearest(plan, table)
    for column, wrong in others:
        array = plain(table.columns[column.name])
        _warn(UnknownCellWarning, table, column, wrong)
        table = _with_cells(table, column, wrong, pyarrow.nulls(len(wrong), array.type))
    return table


def nearest_cells(plan: ColumnPlan, table: Table) -> Table:
    """The table with the nearest possible cells in place of numbers and dates that are not possible.

    These lie between two values of a grid, or a little beyond the range of the training rows; a number on a bound has
    no nearest one, and becomes one at the usual end of its column. A warning names the first of each column, and the
    cell that replaces it.
    """
    return _with_nearest(plan, table)[0]


def _with_nearest(plan: ColumnPlan, table: Table) -> tuple[Table, list[tuple[ModelledColumn, Array]]]:
    """The table of `nearest_cells`, and the unusual cells that it leaves: their columns and rows."""
    others = []
    for column, wrong in _unusual(plan, table):
        array = plain(table.columns[column.name])
        nearest = column.nearest(array.take(pyarrow.array(wrong)))
        # A cell may have a bound of its own, as an integer type has: the nearest one is then not possible either.
        near = ~flags(nearest.is_null()) & ~column.unusual(nearest)
        if near.any():
            cells = nearest.filter(pyarrow.array(near))
            _warn(NearestCellWarning, table, column, wrong[near], f", {_shown(cells[0])} is used")
            table = _with_cells(table, column, wrong[near], cells)
        if not near.all():
            others.append((column, wrong[~near]))
    return table, others


def _unusual(plan: ColumnPlan, table: Table) -> Iterator[tuple[ModelledColumn, Array]]:
    """The columns of a table that have unusual cells, and the numbers of their rows."""
    rows = np.flatnonzero(plan.unusual(table))
    for column in plan.modelled if len(rows) else ():
        if column.name in table.columns:
            unusual = column.unusual(plain(table.columns[column.name]).take(pyarrow.array(rows)))
            if unusual.any():
                yield column, rows[unusual]


def _with_cells(table: Table, column: ModelledColumn, rows: Array, cells: Any) -> Table:
    """The table with cells of a column replaced; whole numbers and decimals become floats beside floats."""
    array = plain(table.columns[column.name])
    if is_number(cells.type) and is_number(array.type) and not pyarrow.types.is_floating(array.type):
        array = array.cast(pyarrow.float64(), safe=False)
    places = np.arange(table.rows)
    places[rows] = table.rows + np.arange(len(rows))
    array = pyarrow.concat_arrays([array, cells.cast(array.type, safe=False)]).take(pyarrow.array(places))
    return replace(table, columns={**table.columns, column.name: array})


def _warn(kind: type[CellWarning], table: Table, column: ModelledColumn, rows: Array, used: str = "") -> None:
    """Warn of the cells of a column in some rows. used: about the cell that replaces the first of them."""
    row = int(rows[0])
    got = plain(table.columns[column.name])[row]
    expected = column.usual(plain(table.columns[column.name]).slice(row, 1))
    first = f"column {column.name!r}, row {table.first + row}: {expected} expected, got {got}{used}"
    warnings.warn(kind(column.name, len(rows), first), stacklevel=5)


def _shown(cell: Any) -> str:
    """A cell in a few digits."""
    value = cell.as_py()
    return f"{value:.4g}" if isinstance(value, float) and abs(value) < _EXACT else str(value)
