"""The column names of a table in a file, without its values."""

import os
from pathlib import Path

from pushforward.data import toys
from pushforward.data.reading import foreign, read_all
from pushforward.data.tables import find_layout

_TEXT = (".csv", ".tsv", ".csv.gz", ".tsv.gz")


def column_names(name: str) -> tuple[str, ...] | None:
    """The names that a toy or a file gives its columns; None where it gives none (an array, text without a header).

    Raises:
        DataError: if the file cannot be read.
    """
    if name in toys.TOYS:
        return ("x", "y")
    path = Path(name).expanduser()
    lower = path.name.lower()
    if not os.path.isfile(path):
        return None
    if lower.endswith(".parquet"):
        import pyarrow.parquet

        with foreign(path, "a Parquet file"):
            return tuple(pyarrow.parquet.read_schema(path).names)
    if lower.endswith(_TEXT):
        layout = find_layout(path, read_all(path, "delimited text"))
        return layout.names if layout.header else None
    return None
