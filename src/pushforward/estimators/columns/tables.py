"""Tables of any library as Arrow arrays by name, and back."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow
import pyarrow.compute as compute
from pydantic import Field

from pushforward.array_types import Array
from pushforward.errors import DataError, ShapeError
from pushforward.estimators.columns.arrow_types import is_text
from pushforward.estimators.columns.standard import Strict

# The types of pandas with a missing value of their own.
_NULLABLE = {
    **{f"{sign}Int{bits}": f"{sign.lower()}int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)},
    "Float32": "float",
    "Float64": "double",
    "boolean": "bool",
}
_MAX_COLUMNS, MAX_NAME = 100_000, 10_000


class Origin(Strict):
    """Where a table came from, to give it back alike.

    library: that of the DataFrame, None for arrays. numbered: whether the names were numbers. nullable: columns that
    pandas held in a type with a missing value of its own, such as Int64.
    """

    library: Literal["pandas", "polars", "pyarrow", "modin", "cudf"] | None = None
    numbered: bool = False
    nullable: tuple[Annotated[str, Field(max_length=10_000)], ...] = ()


@dataclass(frozen=True)
class Table:
    """N rows: an Arrow array for each name. first: the number of the first row, of a part of a table."""

    columns: Mapping[str, Any]
    rows: int
    origin: Origin
    first: int = 0

    def part(self, start: int, count: int | None = None) -> Table:
        """At most ``count`` rows from row ``start``, by default all that follow."""
        length = min(self.rows - start, self.rows if count is None else count)
        columns = {name: column.slice(start, length) for name, column in self.columns.items()}
        return Table(columns, length, self.origin, self.first + start)


def taken(table: Table, places: Array) -> Table:
    """The rows numbered ``places``, in that order."""
    columns = {name: column.take(places) for name, column in table.columns.items()}
    return replace(table, columns=columns, rows=len(places), first=0)


def read_table(table: Any, names: Sequence[str] | None = None) -> Table:
    """The columns of a DataFrame, an Arrow table, a mapping of arrays, an array ``(N, D)`` or a list of rows.

    names: of the columns of an array or of rows without names; default: x0, x1, ... The index of pandas is ignored.
    Raises DataError or ShapeError for anything else.
    """
    columns, origin = _columns(table, names)
    if not columns:
        raise DataError("the table has no columns")
    if len(columns) > _MAX_COLUMNS:
        raise DataError(f"the table has {len(columns):,} columns, at most {_MAX_COLUMNS:,} are modelled")
    lengths = {name: len(column) for name, column in columns.items()}
    first, rows = next(iter(lengths.items()))
    for name, length in lengths.items():
        if length != rows:
            raise ShapeError(f"columns of one length expected, got {rows} values in {first!r} and {length} in {name!r}")
    return Table(columns, rows, origin, table.first if isinstance(table, Table) else 0)


def _columns(table: Any, names: Sequence[str] | None) -> tuple[dict[str, Any], Origin]:
    if isinstance(table, Table):
        return dict(table.columns), table.origin
    if isinstance(table, (str, bytes)):
        raise DataError("a table expected, got text; read a file with `pushforward.data` first")
    if isinstance(table, Mapping):
        return _named(list(table.items())), Origin()
    if isinstance(table, (list, tuple)):
        table = _from_rows(table)
        if isinstance(table, dict):
            return _named(list(table.items())), Origin()
    if isinstance(table, np.ndarray) and table.dtype.names:
        return _named([(name, table[name]) for name in table.dtype.names]), Origin()
    frame = None if isinstance(table, np.ndarray) else _frame(table)
    if frame is not None:
        return _named(list(zip(frame.columns, frame.iter_columns(), strict=True))), _origin(frame)
    matrix = _matrix(table)
    labels = [f"x{i}" for i in range(matrix.shape[1])] if names is None else list(map(str, names))
    if len(labels) != matrix.shape[1]:
        raise ShapeError(f"{matrix.shape[1]} columns need as many names, got {len(labels)}")
    return _named(list(zip(labels, matrix.T, strict=True))), Origin()


def _origin(frame: Any) -> Origin:
    numbered = bool(frame.columns) and all(isinstance(name, (int, np.integer)) for name in frame.columns)
    pandas_like = frame.implementation.is_pandas_like()
    dtypes = frame.to_native().dtypes if pandas_like else ()
    nullable = tuple(str(name) for name, kind in zip(frame.columns, dtypes, strict=False) if str(kind) in _NULLABLE)
    library = frame.implementation.value
    known = library if library in ("pandas", "polars", "modin", "cudf") else "pyarrow"
    return Origin.model_validate({"library": known, "numbered": numbered, "nullable": nullable})


def is_frame(table: Any) -> bool:
    """Whether a table is a DataFrame of any library. Raises DataError for one with equal names."""
    import narwhals

    return isinstance(_wrapped(table), (narwhals.DataFrame, narwhals.LazyFrame))


def without_columns(table: Any, names: Collection[str]) -> Any:
    """A DataFrame without the columns ``names`` that it has; any other table as it is."""
    frame = _frame(table) if names and is_frame(table) else None
    present = [] if frame is None else [name for name in frame.columns if name in names]
    return table if frame is None or not present else frame.drop(present).to_native()


def _frame(table: Any) -> Any | None:
    """The DataFrame as narwhals wraps it, a series as one column; None for other tables."""
    import narwhals

    frame = _wrapped(table)
    if isinstance(frame, narwhals.LazyFrame):
        frame = frame.collect()
    if isinstance(frame, narwhals.Series):
        frame = frame.to_frame()
    return frame if isinstance(frame, narwhals.DataFrame) else None


def _wrapped(table: Any) -> Any:
    import narwhals
    import narwhals.exceptions

    try:
        return narwhals.from_native(table, allow_series=True, pass_through=True)
    except narwhals.exceptions.DuplicateError as error:
        raise DataError(f"every column needs a name of its own: {' '.join(str(error).split())}") from None


def _matrix(table: Any) -> Any:
    """An array ``(N, D)`` from an array or a tensor of one or two dimensions."""
    detach = table.detach().cpu() if type(table).__module__.startswith("torch") else table
    try:
        matrix = np.asarray(detach)
    except (TypeError, ValueError):
        matrix = np.asarray(None)
    if matrix.ndim == 0:
        raise DataError(f"a table expected (DataFrame, mapping of arrays, array or rows), got {type(table).__name__}")
    if matrix.ndim > 2:
        raise ShapeError(f"a table (N, D) expected, got shape {matrix.shape}")
    return matrix[:, None] if matrix.ndim == 1 else matrix


def _from_rows(rows: Sequence[Any]) -> Any:
    """Columns by name from rows that are mappings, else an array of objects or numbers."""
    if rows and all(isinstance(row, Mapping) for row in rows):
        names = list(dict.fromkeys(name for row in rows for name in row))
        return {name: [row.get(name) for row in rows] for name in names}
    if rows and all(isinstance(row, (list, tuple)) for row in rows):
        widths = {len(row) for row in rows}
        if len(widths) > 1:
            row = next(i for i, row in enumerate(rows) if len(row) != len(rows[0]))
            raise ShapeError(
                f"rows of one length expected, got {len(rows[0])} cells in row 0, {len(rows[row])} in row {row}"
            )
        matrix = np.empty((len(rows), widths.pop()), dtype=object)
        for i, row in enumerate(rows):
            matrix[i] = row
        return matrix
    if any(isinstance(row, (list, tuple, Mapping)) for row in rows):
        raise ShapeError("rows of one form expected, got some that are lists and some that are not")
    return rows


def _named(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for name, values in pairs:
        if len(str(name)) > MAX_NAME:
            start = f"{len(str(name)):,} letters, {str(name)[:20]!r} and so on"
            raise DataError(f"a column has a name of {start}; at most {MAX_NAME:,} letters are expected")
        if str(name) in columns:
            raise DataError(f"two columns are named {str(name)!r}; every column needs a name of its own")
        columns[str(name)] = _array(str(name), values)
    return columns


def _array(name: str, values: Any) -> Any:
    """One Arrow array of the values of a column, whatever holds them."""
    import narwhals

    if isinstance(values, narwhals.Series):
        values = values.to_arrow()
    if type(values).__module__.startswith("torch"):
        values = values.detach().cpu().numpy()
    if not isinstance(values, (pyarrow.Array, pyarrow.ChunkedArray)):
        values = _from_values(name, values)
    if isinstance(values, pyarrow.ChunkedArray):
        values = values.combine_chunks()
        if isinstance(values, pyarrow.ChunkedArray):
            raise DataError(f"column {name!r} is too large for one array")
    if pyarrow.types.is_binary(values.type) or pyarrow.types.is_large_binary(values.type):
        try:
            return values.cast(pyarrow.string())
        except pyarrow.ArrowInvalid:
            raise DataError(f"column {name!r} holds bytes that are no text in UTF-8") from None
    if pyarrow.types.is_dictionary(values.type) and is_text(values.type.value_type):
        return values
    return values.dictionary_decode() if pyarrow.types.is_dictionary(values.type) else values


def _from_values(name: str, values: Any) -> Any:
    array = values if isinstance(values, np.ndarray) else None
    if array is None:
        if isinstance(values, (str, bytes)) or not hasattr(values, "__len__"):
            raise ShapeError(f"column {name!r}: a sequence of values expected, got {type(values).__name__}")
        # Lists stay lists, so that None and text are not changed by NumPy.
        array = np.asarray(values) if not isinstance(values, (list, tuple)) else _times_in(values)
    if array is not None:
        if array.ndim != 1:
            raise ShapeError(f"column {name!r}: one value a row expected, got shape {array.shape}")
        if array.dtype.kind == "c":
            raise DataError(
                f"column {name!r} holds complex numbers; give their real and imaginary parts as two columns"
            )
        if array.dtype.kind in "Mm" and np.datetime_data(array.dtype)[0] in ("Y", "M", "W", "h", "m", "generic"):
            unit = "D" if np.datetime_data(array.dtype)[0] in ("Y", "M", "W") else "s"
            array = array.astype(f"{array.dtype.kind}8[{unit}]")
        if array.dtype.kind == "m" and np.datetime_data(array.dtype)[0] == "D":
            array = array.astype("m8[s]")
        if array.dtype.kind == "f" and array.dtype.itemsize > 8:
            array = array.astype(np.float64)
        if array.dtype.kind == "V":
            raise DataError(f"column {name!r} holds records; give their fields as columns of their own")
        values = np.ascontiguousarray(array) if array.dtype.kind != "O" else array
        if array.dtype.byteorder == ">":
            values = array.astype(array.dtype.newbyteorder("="))
    try:
        return pyarrow.array(values, from_pandas=True)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError, pyarrow.ArrowNotImplementedError, OverflowError) as error:
        reason = " ".join(str(error).split())[:120]
        raise DataError(
            f"column {name!r} holds values of several types, or of an unknown one ({reason}); give it one type"
        ) from None


def _times_in(values: Sequence[Any]) -> Array | None:
    """The NumPy dates or durations in a list as an array; None for other lists."""
    present = [value for value in values if value is not None]
    family = next((kind for kind in (np.datetime64, np.timedelta64) if present and isinstance(present[0], kind)), None)
    if family is None or not all(isinstance(value, family) for value in present):
        return None
    return np.array([family("NaT") if value is None else value for value in values])


def give_back(columns: Mapping[str, Any], origin: Origin) -> Any:
    """A DataFrame like that of ``origin`` from Arrow arrays, or NumPy arrays by name where it was none."""
    library = origin.library
    if library is None:
        return {name: _numpy(array) for name, array in columns.items()}
    table = pyarrow.table(dict(columns))
    if library == "pyarrow":
        return table
    import narwhals
    import narwhals.exceptions

    try:
        frame = narwhals.from_arrow(table, backend=library).to_native()
    except ImportError:
        raise DataError(
            f"the table was one of {library}, which is not installed here; decode to library=None"
        ) from None
    if library not in ("pandas", "modin", "cudf"):
        return frame
    for name in set(origin.nullable) & set(columns):
        place = list(columns).index(name)
        word = next(word for word, arrow in _NULLABLE.items() if arrow == str(columns[name].type))
        # By way of objects: as floats, large integers would be rounded.
        frame.isetitem(place, type(frame.iloc[:, place])(columns[name].to_pylist(), dtype=word, index=frame.index))
    if origin.numbered:
        frame.columns = [int(name) for name in columns]
    return frame


def _numpy(array: Any) -> Any:
    """A NumPy array of the natural type; NaN or None for null."""
    arrow = array.type
    if pyarrow.types.is_dictionary(arrow):
        array = array.dictionary_decode()
    if array.null_count and pyarrow.types.is_floating(arrow):
        array = compute.fill_null(array, pyarrow.scalar(np.nan, arrow))
    if pyarrow.types.is_date(arrow) or pyarrow.types.is_decimal(arrow) or pyarrow.types.is_time(arrow):
        return array.to_numpy(zero_copy_only=False)
    values = array.to_numpy(zero_copy_only=False)
    return values.copy() if not values.flags.writeable else values
