"""Column names of a table in a file, read without its values."""

import os
from pathlib import Path
from typing import NamedTuple

from pushforward.data import toys
from pushforward.data.columns import default_names
from pushforward.data.loading import is_array, read_array
from pushforward.data.reading import file_size, foreign, open_unpacked
from pushforward.data.tables import find_layout

TEXT = (".csv", ".tsv", ".csv.gz", ".tsv.gz")


class Header(NamedTuple):
    """The names of a table's columns. named: whether the file gives them, or they are x0, x1, ..."""

    names: tuple[str, ...]
    named: bool


def read_header(name: str) -> Header | None:
    """The names of all columns of a toy or of a table in a file; None for images and for missing files.

    Raises:
        DataError: if the file cannot be read.
    """
    if name in toys.TOYS:
        return Header(("x", "y"), True)
    path = Path(name).expanduser()
    lower = path.name.lower()
    if not os.path.isfile(path):
        return None
    if lower.endswith(".parquet"):
        import pyarrow.parquet

        with foreign(path, "a Parquet file"):
            return Header(tuple(pyarrow.parquet.read_schema(path).names), True)
    if lower.endswith(TEXT):
        size = file_size(path, in_blocks=True)
        with foreign(path, "delimited text"):
            layout = find_layout(path, lambda: open_unpacked(path, size))
        return Header(layout.names, layout.header)
    if is_array(path):
        array, _ = read_array(path)
        if array.ndim < 3:
            return Header(default_names(array.shape[1] if array.ndim == 2 else 1), False)
    return None
