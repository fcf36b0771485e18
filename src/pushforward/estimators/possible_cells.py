"""Tables to predict from: cells that the training rows rule out are taken as unknown."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pyarrow
import pyarrow.compute as compute

from pushforward.errors import UnknownCellWarning
from pushforward.estimators.columns.arrow_types import plain
from pushforward.estimators.columns.plan import ColumnPlan
from pushforward.estimators.columns.tables import Table


def possible_cells(plan: ColumnPlan, table: Table) -> Table:
    """The table with gaps in place of cells of density zero, such as unseen labels; a warning names the first."""
    bad = plan.encode(table, places=plan.middles, partial=True).impossible.numpy()
    if not bad.any():
        return table
    rows = np.flatnonzero(bad)
    columns, first = dict(table.columns), ""
    for column in plan.modelled:
        array = plain(table.columns[column.name])
        some = replace(table, columns={column.name: array.take(rows)}, rows=len(rows))
        wrong = plan.encode(some, places=plan.middles, partial=True).impossible.numpy()
        if wrong.any():
            row = rows[wrong][0]
            first = first or f"column {column.name!r}, row {row}: {column.expected} expected, got {array[row]}"
            mask = np.zeros(table.rows, dtype=bool)
            mask[rows[wrong]] = True
            columns[column.name] = compute.if_else(pyarrow.array(mask), pyarrow.scalar(None, array.type), array)
    count = f"{len(rows):,} row{'s have' if len(rows) > 1 else ' has'} a value that no training row could have"
    warnings.warn(f"{count}, which is taken as unknown ({first})", UnknownCellWarning, stacklevel=4)
    return replace(table, columns=columns)
