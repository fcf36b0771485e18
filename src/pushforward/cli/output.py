"""Output of rows to a file or stdout; the ending of the file name selects the format."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pushforward.atomic_files import open_atomically, require_place
from pushforward.errors import OptionError

Table = Mapping[str, np.ndarray[Any, Any]]
# Writes a block of rows.
Write = Callable[[Table], object]

TABLES = (".csv", ".parquet", ".npy", ".jsonl")


def require_output(out: Path | None, endings: tuple[str, ...], force: bool) -> None:
    """Raise OptionError unless ``out`` (None: stdout) ends in one of ``endings`` and may be written."""
    if out is None:
        return
    if out.suffix.lower() not in endings:
        raise OptionError(f"{out}: a file name ending in {', '.join(endings[:-1])} or {endings[-1]} expected")
    if not os.path.isdir(out.parent):
        raise OptionError(f"{out}: there is no folder {out.parent}; create it first")
    require_place(out)
    if out.is_dir() or (out.exists() and not force):
        raise OptionError(f"{out} already exists; choose another name, or replace it with --force")


def write_table(columns: Table, out: Path | None) -> None:
    """Write columns of equal length, (N,) each, to ``out``; None writes CSV to stdout. See `open_table`."""
    with open_table(out) as write:
        write(columns)


@contextmanager
def open_table(out: Path | None) -> Iterator[Write]:
    """A context with a function that writes blocks of rows: columns of equal length, the same in each block.

    The file appears only if the context ends without an error; None writes CSV to stdout. .npy files have a structured
    array or, if all columns have one type of number, a plain matrix (N, columns); only for them all rows are held.
    """
    if out is None:
        yield _csv(sys.stdout)
        sys.stdout.flush()
        return
    with open_atomically(out) as file, _WRITERS[out.suffix.lower()](file) as write:
        yield write


def write_array(array: np.ndarray[Any, Any], out: Path) -> None:
    """Write one array to an .npy file."""
    with open_atomically(out) as file:
        np.save(file, array, allow_pickle=False)


def _csv(stream: Any) -> Write:
    writer, begun = csv.writer(stream, lineterminator="\n"), False

    def write(columns: Table) -> None:
        nonlocal begun
        if not begun:
            writer.writerow(columns)
        begun = True
        writer.writerows(zip(*(_texts(column) for column in columns.values()), strict=True))

    return write


def _texts(column: np.ndarray[Any, Any]) -> Iterator[str]:
    """The cells of a column; a number that is missing is an empty cell."""
    # str() of a NumPy number is the shortest text that reads back as the same number.
    if column.dtype.kind != "f":
        return map(str, column)
    return ("" if value != value else str(value) for value in column)


@contextmanager
def _csv_file(file: BinaryIO) -> Iterator[Write]:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    yield _csv(text)
    # Flushes, and leaves the file open.
    text.detach()


@contextmanager
def _parquet(file: BinaryIO) -> Iterator[Write]:
    import pyarrow
    import pyarrow.parquet

    with ExitStack() as stack:
        writer = None

        def write(columns: Table) -> None:
            nonlocal writer
            table = pyarrow.table({name: pyarrow.array(column) for name, column in columns.items()})
            if writer is None:
                writer = stack.enter_context(pyarrow.parquet.ParquetWriter(file, table.schema))
            writer.write_table(table)

        yield write


@contextmanager
def _npy(file: BinaryIO) -> Iterator[Write]:
    blocks: list[Table] = []
    yield blocks.append
    columns = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    arrays = list(columns.values())
    if len({array.dtype for array in arrays}) == 1 and arrays[0].dtype.kind in "iuf":
        np.save(file, np.stack(arrays, 1), allow_pickle=False)
        return
    table = np.empty(len(arrays[0]), dtype=[(name, array.dtype) for name, array in columns.items()])
    for name, array in columns.items():
        table[name] = array
    np.save(file, table, allow_pickle=False)


@contextmanager
def _jsonl(file: BinaryIO) -> Iterator[Write]:
    def write(columns: Table) -> None:
        lists = [[_plain(value) for value in column.tolist()] for column in columns.values()]
        for row in zip(*lists, strict=True):
            file.write(json.dumps(dict(zip(columns, row, strict=True)), allow_nan=False).encode() + b"\n")

    yield write


def _plain(value: Any) -> Any:
    """A value for JSON, which has no infinity and no NaN: infinities become text as in CSV, a missing value null."""
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return None if math.isnan(value) else str(value)


_WRITERS: dict[str, Callable[[BinaryIO], AbstractContextManager[Write]]] = {
    ".csv": _csv_file,
    ".parquet": _parquet,
    ".npy": _npy,
    ".jsonl": _jsonl,
}
