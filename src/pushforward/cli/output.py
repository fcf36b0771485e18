"""Output of rows to a file or stdout; the ending of the file name selects the format."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pushforward.atomic_files import require_place, write_atomically
from pushforward.errors import OptionError

Table = Mapping[str, np.ndarray[Any, Any]]

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
    """Write columns of equal length, (N,) each, to ``out``; None writes CSV to stdout.

    .npy files have a structured array or, if all columns have one type of number, a plain matrix (N, columns).
    """
    if out is None:
        _write_csv(columns, sys.stdout)
    else:
        write_atomically(out, _WRITERS[out.suffix.lower()](columns))


def write_array(array: np.ndarray[Any, Any], out: Path) -> None:
    """Write one array to an .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    write_atomically(out, buffer.getvalue())


def _write_csv(columns: Table, stream: Any) -> None:
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    # str() of a NumPy number is the shortest text that reads back as the same number.
    writer.writerows(zip(*(map(str, column) for column in columns.values()), strict=True))


def _csv(columns: Table) -> bytes:
    text = io.StringIO()
    _write_csv(columns, text)
    return text.getvalue().encode()


def _parquet(columns: Table) -> bytes:
    import pyarrow
    import pyarrow.parquet

    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.table({name: pyarrow.array(c) for name, c in columns.items()}), sink)
    return bytes(sink.getvalue().to_pybytes())


def _npy(columns: Table) -> bytes:
    arrays = list(columns.values())
    buffer = io.BytesIO()
    if len({array.dtype for array in arrays}) == 1 and arrays[0].dtype.kind in "iuf":
        np.save(buffer, np.stack(arrays, 1), allow_pickle=False)
        return buffer.getvalue()
    table = np.empty(len(arrays[0]), dtype=[(name, array.dtype) for name, array in columns.items()])
    for name, array in columns.items():
        table[name] = array
    np.save(buffer, table, allow_pickle=False)
    return buffer.getvalue()


def _jsonl(columns: Table) -> bytes:
    lists = [[_plain(value) for value in column.tolist()] for column in columns.values()]
    rows = (json.dumps(dict(zip(columns, row, strict=True)), allow_nan=False) for row in zip(*lists, strict=True))
    return "".join(f"{row}\n" for row in rows).encode()


def _plain(value: Any) -> Any:
    """A value for JSON, which has no infinity and no NaN: they become text as in CSV."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


_WRITERS: dict[str, Callable[[Table], bytes]] = {".csv": _csv, ".parquet": _parquet, ".npy": _npy, ".jsonl": _jsonl}
