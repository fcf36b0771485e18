"""Rows of data in blocks for a saved model, so that memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pushforward.array_types import Array
from pushforward.cli.parameters import DataSource
from pushforward.cli.reading import columns_for, read_for, require_width, tell_booleans, wrap_periods
from pushforward.data import DataSet
from pushforward.data.dataset import table_set
from pushforward.data.table_blocks import of_size, table_blocks
from pushforward.data.tables import Blocks
from pushforward.errors import DataError
from pushforward.rows import BATCH
from pushforward.storage import SavedModel

# A block has at most so many values and rows, the latter in whole batches: results are those of one block.
_VALUES, _BATCHES = 1 << 22, 128


@dataclass(frozen=True)
class RowBlock:
    """A block of the rows to be scored.

    data: its rows, which name their places in the file. numbers: ``(n,)``, those of its rows among all data. first: the
    number of its first row among all that are scored. incomplete: ``(n,)`` bool, rows with missing or infinite values;
    another row is in their place in ``data``. problem: a sentence on the first of them.
    """

    data: DataSet
    numbers: Array
    first: int
    incomplete: Array
    problem: str = ""


def read_blocks(model: SavedModel, name: str, source: DataSource) -> Iterator[RowBlock]:
    """All rows of the data ``name`` as the model takes them; see `read_for`. Tables in files are never held whole.

    Raises DataError, also between blocks, for data that do not match the model.
    """
    config, blocks = model.config.data, None
    if config is not None and config.kind == "table" and model.flow.embedding is None:
        columns, context = columns_for(config, name, source)
        # Without names, columns that only number the rows are left out, which takes all rows to find.
        blocks = None if columns is None else table_blocks(name, columns, context or None)
    if config is None or blocks is None:
        yield from data_blocks(read_for(model, name, source))
        return
    require_width(config, name, len(blocks.choice.x))
    tell_booleans(Path(name).name, [blocks.choice.names[i] for i in blocks.choice.booleans])
    first = 0
    for matrix in of_size(blocks.matrices, _rows_of(len(blocks.choice.needed))):
        block = _table_block(matrix, first, blocks, name)
        data = replace(block.data, columns=config.columns, context_columns=config.context_columns)
        yield replace(block, data=wrap_periods(model.flow, data))
        first += len(matrix)
    if not first:
        raise DataError(f"{name}: the table has no rows")


def data_blocks(data: DataSet, rows: Array | None = None) -> Iterator[RowBlock]:
    """Blocks of the given rows of data in memory; of all rows, in order, for None."""
    numbers = np.arange(len(data)) if rows is None else rows
    size = _rows_of(int(np.prod(data.event_shape)))
    for first in range(0, len(numbers), size):
        part = numbers[first : first + size]
        yield RowBlock(data.take(part), part, first, np.zeros(len(part), dtype=bool))


def _rows_of(width: int) -> int:
    return BATCH * max(1, min(_BATCHES, _VALUES // (BATCH * max(1, width))))


def _table_block(matrix: Array, first: int, blocks: Blocks, name: str) -> RowBlock:
    """A block of a table in which incomplete rows have the values of a complete one, or zeros."""
    choice, wrong = blocks.choice, ~np.isfinite(matrix)
    incomplete = np.asarray(wrong.any(1))
    problem = ""
    names = [choice.names[i] for i in choice.needed]
    if incomplete.any():
        row = int(np.flatnonzero(incomplete)[0])
        place = int(np.flatnonzero(wrong[row])[0])
        value = matrix[row, place]
        kind = "a missing value (or NaN)" if np.isnan(value) else f"the value {value}"
        line = blocks.line_of(first + row) if blocks.line_of is not None else None
        where = f"row {first + row + 1:,}{f' (line {line:,})' if line else ''}"
        problem = f"{name}: {kind} in {where}, column {names[place]!r}"
        complete = np.flatnonzero(~incomplete)
        matrix[incomplete] = matrix[complete[0]] if len(complete) else 0.0
    width = len(choice.x)
    data = table_set(
        Path(name).name,
        np.ascontiguousarray(matrix[:, :width]),
        names[:width],
        context=np.ascontiguousarray(matrix[:, width:]) if choice.context else None,
        context_columns=names[width:] if choice.context else None,
        source=name,
    )
    numbers = first + np.arange(len(matrix))
    return RowBlock(replace(data, numbers=numbers), numbers, first, incomplete, problem)
