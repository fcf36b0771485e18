"""DataFrames and Arrow tables in memory, of whatever library, as an array with the names of its columns."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from pushforward.array_types import Array
from pushforward.errors import DtypeError


class Frame(NamedTuple):
    """The values ``(N, D)`` of a table and the names of its columns."""

    values: Array
    columns: tuple[str, ...]


def column_names(values: Any) -> tuple[str, ...] | None:
    """The names of the columns of a DataFrame or an Arrow table; None for anything else."""
    frame = _table(values)
    return None if frame is None else tuple(map(str, frame.columns))


def as_frame(values: Any, name: str) -> Frame | None:
    """The numbers in a DataFrame or an Arrow table, NaN where one is missing; None for anything else.

    Raises DtypeError for a column that does not hold numbers.

    >>> import pyarrow
    >>> as_frame(pyarrow.table({"mass": [1.5, 2.0], "charge": [1, None]}), "x").values
    array([[1.5, 1. ],
           [2. , nan]])
    """
    frame = _table(values)
    if frame is None:
        return None
    names = tuple(map(str, frame.columns))
    # By place: a name may be a number, which would be taken for one.
    columns = [
        _numbers(column, f"{name} column {key!r}") for key, column in zip(names, frame.iter_columns(), strict=True)
    ]
    return Frame(np.column_stack(columns) if columns else np.empty((len(frame), 0)), names)


def _table(values: Any) -> Any:
    """``values`` as a DataFrame of narwhals, which reads those of every library; None where it is none."""
    if isinstance(values, (torch.Tensor, np.ndarray, list, tuple, int, float)):
        return None
    # Loaded only for objects that may be tables.
    import narwhals

    frame = narwhals.from_native(values, eager_only=True, pass_through=True)
    return frame if isinstance(frame, narwhals.DataFrame) else None


def _numbers(column: Any, name: str) -> Array:
    import narwhals

    if not (column.dtype.is_numeric() or column.dtype == narwhals.Boolean):
        raise DtypeError(f"{name} holds {column.dtype} values, where numbers are expected; leave it out or encode it")
    if column.is_null().any():
        column = column.cast(narwhals.Float64)
    array = column.to_numpy()
    return np.asarray(array if array.dtype.kind in "iufb" else array.astype(np.float64))
