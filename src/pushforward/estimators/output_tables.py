"""Tables as they leave the estimators: in the form of the table of the fit, or of the one that was given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pushforward.array_types import Array
from pushforward.estimators.columns.tables import Origin, give_back


@dataclass(frozen=True)
class TableForm:
    """The form of a table: an array ``(N, D)`` if ``matrix``, else that of its origin."""

    origin: Origin
    matrix: bool

    def table(self, columns: Mapping[str, Any], names: tuple[str, ...] | None = None) -> Any:
        """A table of Arrow arrays by name. names: of the columns of an array, which has gaps for the others."""
        if not self.matrix:
            return give_back(columns, self.origin)
        arrays = give_back(columns, Origin())
        rows = len(next(iter(arrays.values()))) if arrays else 0
        return _matrix([arrays.get(name, np.full(rows, np.nan)) for name in names or tuple(arrays)], rows)


def with_index_of(table: Any, like: Any) -> Any:
    """The table with the index of another one of as many rows, where DataFrames of their library have one."""
    import narwhals

    other = narwhals.from_native(like, eager_only=True, pass_through=True)
    index = narwhals.maybe_get_index(other) if isinstance(other, narwhals.DataFrame) else None
    if index is not None:
        table.index = index
    return table


def _matrix(columns: list[Array], rows: int) -> Array:
    if not columns:
        return np.empty((rows, 0))
    plain = all(column.dtype.kind in "fiub" for column in columns)
    return np.stack([column if plain else column.astype(object) for column in columns], 1)
