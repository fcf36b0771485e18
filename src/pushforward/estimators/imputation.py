"""Gaps of a table filled by draws from its density."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow
import pyarrow.compute as compute
import torch

from pushforward.estimators.columns.arrow_types import plain
from pushforward.estimators.columns.column import missing_cells
from pushforward.estimators.columns.plan import ColumnPlan
from pushforward.estimators.columns.tables import Table, taken
from pushforward.estimators.encoded import UNKNOWN, EncodedRows
from pushforward.estimators.input_tables import require_count
from pushforward.estimators.models.table_model import TableModel
from pushforward.estimators.possible_cells import possible_cells

# Rows whose gaps are drawn together, and proposals for each draw.
_BLOCK, _PROPOSALS = 2_000, 16


def filled(
    plan: ColumnPlan, model: TableModel, table: Table, draws: int, generator: torch.Generator
) -> list[dict[str, Any]]:
    """``draws`` versions of the table with its gaps filled, as Arrow arrays by name; other cells stay as they are."""
    require_count("draws", draws, 1)
    table = _with_sources(plan, _with_types(plan, table))
    possible = possible_cells(plan, table)
    rows = _without_gaps(plan, plan.encode(possible, places=plan.middles, partial=True))
    needed = (rows.states == UNKNOWN).any(1)
    blocks = [taken(possible, block.numpy()) for block in needed.nonzero()[:, 0].split(_BLOCK)]
    parts = [_drawn(plan, model, block, draws, generator) for block in blocks]
    tables = []
    for draw in range(draws):
        states, values = rows.states.clone(), rows.values.clone()
        if needed.any():
            states[needed] = torch.cat([part[draw].states for part in parts])
            values[needed] = torch.cat([part[draw].values for part in parts])
        decoded = plan.decode(EncodedRows.of(states, values), library="pyarrow")
        drawn = {name: decoded.column(name).combine_chunks() for name in decoded.column_names}
        tables.append({n: merged(array, drawn[n]) if n in drawn else array for n, array in table.columns.items()})
    return tables


def _with_types(plan: ColumnPlan, table: Table) -> Table:
    """The table with columns of nothing but gaps in the types of the plan."""
    columns = dict(table.columns)
    for column in plan.columns:
        array = columns.get(column.name)
        if array is not None and missing_cells(plain(array)).all():
            columns[column.name] = pyarrow.nulls(len(array), column.arrow)
    return replace(table, columns=columns)


def _with_sources(plan: ColumnPlan, table: Table) -> Table:
    """The table with the gaps filled that an exact relation to other columns of the row determines."""
    columns = dict(table.columns)
    for column in plan.left_out:
        if column.name in columns and all(name in columns for name in column.kind.sources):
            for name in column.kind.sources:
                solved = column.kind.solved(name, plain(columns[column.name]), columns)
                columns[name] = merged(columns[name], solved)
    return replace(table, columns=columns)


def _drawn(
    plan: ColumnPlan, model: TableModel, table: Table, draws: int, generator: torch.Generator
) -> list[EncodedRows]:
    """One completion of the rows for each draw, resampled from weighted proposals.

    Each proposal has known integers and dates at another place within their cells.
    """
    count = _PROPOSALS * draws
    copies = taken(table, np.repeat(np.arange(table.rows), count))
    given = _without_gaps(plan, plan.encode(copies, generator=generator, partial=True))
    weighted = model.draws_given(given, count, generator, allowed=_without_gap_states(plan), repeated=True)
    chosen = torch.multinomial(weighted.log_weights.exp(), draws, replacement=True, generator=generator)
    first = torch.arange(table.rows) * count
    return [weighted.rows.take(first + chosen[:, draw]) for draw in range(draws)]


def _without_gaps(plan: ColumnPlan, rows: EncodedRows) -> EncodedRows:
    """The rows with gaps as unknown content."""
    states = rows.states.clone()
    for place, column in enumerate(plan.modelled):
        if column.gaps:
            states[states[:, place] == column.shape.states - 1, place] = UNKNOWN
    return EncodedRows(states, rows.values, rows.log_slopes, rows.impossible)


def _without_gap_states(plan: ColumnPlan) -> dict[int, torch.Tensor]:
    """For each column with gaps, a mask of its other states."""
    return {
        place: torch.arange(column.shape.states) < column.shape.states - 1
        for place, column in enumerate(plan.modelled)
        if column.gaps
    }


def merged(array: Any, drawn: Any) -> Any:
    """The cells of ``array``, those of ``drawn`` where they are missing."""
    arrow = array.type
    array, drawn = plain(array), plain(drawn)
    if drawn.type != array.type:
        drawn = drawn.cast(array.type, safe=False)
    whole = compute.if_else(pyarrow.array(missing_cells(array)), drawn, array)
    return whole.dictionary_encode().cast(arrow) if pyarrow.types.is_dictionary(arrow) else whole
