"""Tables in files, read in blocks of rows, with missing values."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from pushforward.array_types import Array
from pushforward.data import toys
from pushforward.data.columns import choose, default_names
from pushforward.data.header import TEXT
from pushforward.data.loading import is_array, read_array
from pushforward.data.named import NAMES
from pushforward.data.tables import Blocks, csv_blocks, parquet_blocks


def table_blocks(name: str, columns: Sequence[str] | None, context: Sequence[str] | None) -> Blocks | None:
    """The chosen columns of a table in a file, in blocks; None for data that are not such a file.

    Missing values are NaN. Arrays, which are read whole, are given in blocks too. Raises the errors of reading.
    """
    path = Path(name).expanduser()
    if name in toys.TOYS or name in NAMES or not path.is_file():
        return None
    lower = path.name.lower()
    if lower.endswith(".parquet"):
        return parquet_blocks(path, columns, context)
    if lower.endswith(TEXT):
        return csv_blocks(path, columns, context)
    if not is_array(path):
        return None
    array, _ = read_array(path)
    if array.ndim > 2:
        return None
    matrix = array[:, None] if array.ndim == 1 else array
    choice = choose(str(path), default_names(matrix.shape[1]), columns, context, named=False)
    return Blocks(choice, iter([matrix[:, list(choice.needed)].astype(np.float64)]))


def of_size(matrices: Iterator[Array], rows: int) -> Iterator[Array]:
    """The same rows in matrices of ``rows`` rows each; the last one may have fewer."""
    waiting: list[Array] = []
    for matrix in matrices:
        waiting.append(matrix)
        while sum(map(len, waiting)) >= rows:
            together = np.concatenate(waiting)
            yield together[:rows]
            waiting = [together[rows:].copy()]
    rest = np.concatenate(waiting) if waiting else None
    if rest is not None and len(rest):
        yield rest
