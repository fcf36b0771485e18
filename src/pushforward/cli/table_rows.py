"""Rows of tables in files for the models of tables: whole or in blocks, as Arrow tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow

from pushforward.array_types import Array
from pushforward.cli.progress import tell
from pushforward.data import arrow_tables
from pushforward.data.row_sources import RowSource, open_source
from pushforward.error_messages import did_you_mean
from pushforward.errors import DataError, PushforwardError


def read_rows(path: Path, columns: Sequence[str] | None = None) -> Any:
    """The Arrow table in a file, or some of its columns; notes about how it was read are printed."""
    content = arrow_tables.read_arrow(path.expanduser())
    for note in content.notes:
        tell(f"note: {note}")
    if columns is None:
        return content.table
    require_columns(path, content.table.column_names, columns)
    return content.table.select(list(columns))


def open_rows(path: Path) -> RowSource:
    """The rows of a file or folder, to be read in batches; notes about how they are read are printed."""
    source = open_source(path)
    for note in source.notes:
        tell(f"note: {note}")
    return source


def read_row_blocks(path: Path, size: int) -> Iterator[Any]:
    """Arrow tables of at most ``size`` rows. Raises DataError for a file without rows."""
    rows = 0
    for batch in open_source(path).batches(size):
        rows += len(batch)
        yield pyarrow.Table.from_batches([batch])
    if not rows:
        raise DataError(f"{path}: the table has no rows")


def require_columns(
    where: object, names: Sequence[str], wanted: Sequence[str], error: type[PushforwardError] = DataError
) -> None:
    """Raise ``error`` unless a table with the columns ``names`` has those that are ``wanted``."""
    for name in wanted:
        if name not in names:
            listed = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
            raise error(f"{where}: there is no column {name!r}; {did_you_mean(name, names) or f'it has {listed}'}")


def take(table: Any, places: Array) -> Any:
    """The rows of a table at these places."""
    return table.take(pyarrow.array(np.sort(places)))
