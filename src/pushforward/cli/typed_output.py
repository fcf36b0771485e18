"""Output of tables whose columns keep their types: dates, truth values, labels, integers and gaps."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow
import pyarrow.parquet

from pushforward.atomic_files import open_atomically
from pushforward.cli.progress import tell
from pushforward.estimators.columns.arrow_types import plain

TYPED = (".csv", ".parquet", ".jsonl")
# Writes an Arrow table, a block of the rows.
WriteTable = Callable[[Any], object]


@contextmanager
def open_typed(out: Path | None) -> Iterator[WriteTable]:
    """A context with a function that writes blocks of rows as Arrow tables of one schema; None: CSV to stdout.

    The file appears only if the context ends without an error; a line then tells the number of its rows.
    """
    if out is None:
        yield _csv(sys.stdout)
        sys.stdout.flush()
        return
    rows = 0
    with open_atomically(out) as file, _WRITERS[out.suffix.lower()](file) as write:

        def write_counted(table: Any) -> None:
            nonlocal rows
            rows += len(table)
            write(table)

        yield write_counted
    tell(f"wrote {rows:,} row{'s' * (rows != 1)} to {out}")


def _csv(stream: Any) -> WriteTable:
    writer, begun = csv.writer(stream, lineterminator="\n"), False

    def write(table: Any) -> None:
        nonlocal begun
        if not begun:
            writer.writerow(table.column_names)
        begun = True
        writer.writerows(zip(*(_texts(column) for column in table.itercolumns()), strict=True))

    return write


def _texts(column: Any) -> list[str]:
    """The cells as text: ISO dates, the shortest text of a number, nothing for a gap."""
    array = plain(column.combine_chunks())
    if pyarrow.types.is_floating(array.type):
        # str() of a Python float is the shortest text that reads back as the same number.
        single = pyarrow.types.is_float32(array.type)
        numbers = array.to_numpy(zero_copy_only=False) if single else array.to_pylist()
        return ["" if x is None or x != x else str(x) for x in numbers]
    return array.cast(pyarrow.string()).fill_null("").to_pylist()  # type: ignore[no-any-return]


@contextmanager
def _csv_file(file: BinaryIO) -> Iterator[WriteTable]:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    yield _csv(text)
    # Flushes, and leaves the file open.
    text.detach()


@contextmanager
def _parquet(file: BinaryIO) -> Iterator[WriteTable]:
    writer: Any = None

    def write(table: Any) -> None:
        nonlocal writer
        if writer is None:
            writer = pyarrow.parquet.ParquetWriter(file, table.schema)
        writer.write_table(table.cast(writer.schema))

    try:
        yield write
    finally:
        if writer is not None:
            writer.close()


@contextmanager
def _jsonl(file: BinaryIO) -> Iterator[WriteTable]:
    def write(table: Any) -> None:
        for row in table.to_pylist():
            cells = {name: None if cell != cell else cell for name, cell in row.items()}
            file.write(json.dumps(cells, default=str).encode() + b"\n")

    yield write


_WRITERS: dict[str, Callable[[BinaryIO], AbstractContextManager[WriteTable]]] = {
    ".csv": _csv_file,
    ".parquet": _parquet,
    ".jsonl": _jsonl,
}
