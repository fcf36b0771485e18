"""Tables as scikit-learn's estimators take them: checked against the table of the fit."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from numbers import Integral
from typing import Any

import numpy as np
import pyarrow
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_array, validate_data

from pushforward.array_types import Array
from pushforward.data.row_sources import RowSource, is_source, open_source
from pushforward.errors import CellError, ColumnWarning, DataError, OptionError, PushforwardError
from pushforward.estimators.columns.arrow_types import is_number, plain
from pushforward.estimators.columns.column import missing_cells
from pushforward.estimators.columns.plan import ColumnPlan
from pushforward.estimators.columns.tables import Table, is_frame, read_table, without_columns

# Rows of a file that are read together.
_BLOCK = 50_000


def training_table(estimator: BaseEstimator, table: Any) -> Table:
    """The columns of a table to fit; the estimator stores their number, and names if they have some.

    DataFrames, Arrow tables and mappings of arrays have names; arrays are checked as scikit-learn does.
    """
    if not named(table):
        with _as_data_error():
            matrix = validate_data(estimator, _array(table), dtype=None, ensure_all_finite="allow-nan")
        _check_cells(matrix)
        return read_table(matrix, [f"x{i}" for i in range(matrix.shape[1])])
    content = read_table(table)
    if is_frame(table):
        with _as_data_error():
            validate_data(estimator, table, skip_check_array=True)
    else:
        estimator.feature_names_in_ = np.asarray(list(content.columns), dtype=object)
        estimator.n_features_in_ = len(content.columns)
    return content


def training_source(path: Any) -> RowSource:
    """The rows of a file, folder or Arrow dataset for a fit; notes about how they are read are warnings."""
    source = open_source(path)
    for note in source.notes:
        warnings.warn(f"{source.where}: {note}", ColumnWarning, stacklevel=3)
    return source


def checked_table(
    estimator: BaseEstimator,
    table: Any,
    names: Sequence[str],
    optional: Sequence[str] = (),
    ignored: Collection[str] = (),
) -> Table:
    """The columns ``names`` of a table for a fitted estimator, in the order of the fit.

    optional: those that the table may lack. ignored: further columns that a frame may have.
    """
    if not named(table):
        with _as_data_error():
            matrix = validate_data(
                estimator, _array(table), reset=False, dtype=None, ensure_all_finite="allow-nan", ensure_min_samples=0
            )
        return read_table(matrix, names)
    table = without_columns(table, set(ignored).difference(names))
    content = read_table(table)
    absent = [name for name in names if name not in content.columns]
    if is_frame(table) and not (absent and set(absent) <= set(optional)):
        with _as_data_error():
            validate_data(estimator, table, reset=False, skip_check_array=True)
    missing = [name for name in names if name not in content.columns and name not in optional]
    if missing:
        shown = ", ".join(missing[:10]) + (f" and {len(missing) - 10} more" if len(missing) > 10 else "")
        raise DataError(f"the table lacks the columns {shown}; it has {', '.join(list(content.columns)[:10])}")
    return replace(content, columns={name: content.columns[name] for name in names if name in content.columns})


def stream_of_tables(tables: Any, plan: ColumnPlan) -> Iterator[Any]:
    """The tables of an iterator, those of blocks of rows of a file, folder or Arrow dataset, or the one table given."""
    if is_source(tables):
        for batch in open_source(tables).batches(_BLOCK):
            yield block_table(pyarrow.Table.from_batches([batch]), plan)
    elif isinstance(tables, Iterator):
        yield from tables
    else:
        yield tables


def block_table(block: Any, plan: ColumnPlan, first: int = 0) -> Table:
    """The columns of a plan that a block of a file has; one without any value, which has no type, gets that of the fit.

    first: the number of the first row in the file. Raises DataError if there are none.
    """
    columns = {}
    for column in plan.columns:
        if column.name in block.column_names:
            cells = block.column(column.name)
            columns[column.name] = cells.cast(column.arrow) if pyarrow.types.is_null(cells.type) else cells
    if not columns:
        raise DataError(f"the table has none of the columns {', '.join(plan.names[:10])}")
    return replace(read_table(pyarrow.table(columns)), first=first)


def target_table(y: Any, rows: int) -> tuple[Table, bool]:
    """The targets of a regression, numbers in a column or several, and whether they are one without a second axis.

    Those of an array are named y, or y0, y1, ...
    """
    if y is None:
        raise DataError("a regressor requires y to be passed, but the target y is None")
    one = not named(y)
    if one:
        name = getattr(y, "name", None)
        if np.asarray(y).dtype.kind in "US":
            raise DataError("y: a number in each row expected, got text")
        with _as_data_error():
            numbers = check_array(y, ensure_2d=False, dtype="numeric", input_name="y", ensure_all_finite=False)
            missing = np.isnan(numbers).reshape(len(numbers), -1).any(1) if numbers.dtype.kind == "f" else np.zeros(1)
            if missing.any():
                rows_with, first = int(missing.sum()), int(missing.argmax())
                where = f"{rows_with:,} row{'s' * (rows_with > 1)}; the first is row {first}"
                raise DataError(f"Input y contains NaN, in {where}; leave such rows out of X and y")
            matrix = check_array(y, ensure_2d=False, dtype="numeric", input_name="y")
        one = matrix.ndim == 1
        matrix = matrix[:, None] if one else matrix
        names = [str(name or "y")] if matrix.shape[1] == 1 else [f"y{i}" for i in range(matrix.shape[1])]
        content = read_table(matrix, names)
    else:
        content = read_table(y)
        if problem := problem_of_targets(content):
            raise DataError(f"y, {problem}")
    if content.rows != rows:
        raise DataError(f"y has {content.rows} rows, X has {rows}")
    return content, one


def problem_of_targets(targets: Table) -> str:
    """A sentence about the first column that has not a number in each row; empty if there is none."""
    for name, array in targets.columns.items():
        missing = missing_cells(plain(array))
        if len(missing) and missing.all():
            return f"column {name!r} has no values"
        if not (is_number(array.type) or pyarrow.types.is_boolean(array.type)):
            return (
                f"column {name!r}: a number in each row expected, got {array.type}; a FlowDensity, which has no "
                "target, gives the probabilities of labels"
            )
        if missing.any():
            row = int(missing.argmax())
            return f"column {name!r}: a number in each row expected, got a gap in row {row}; leave such rows out"
    return ""


def named(table: Any) -> bool:
    """Whether the columns of ``table`` have names."""
    if isinstance(table, np.ndarray) or issparse(table):
        return bool(table.dtype.names)
    if isinstance(table, (Mapping, Table)):
        return True
    if isinstance(table, (list, tuple)):
        return bool(table) and isinstance(table[0], Mapping)
    return is_frame(table)


def _check_cells(matrix: Array) -> None:
    """Raise CellError for a cell of an array of objects that is a container."""
    if matrix.dtype.kind != "O":
        return
    for (row, column), cell in np.ndenumerate(matrix):
        if isinstance(cell, Collection) and not isinstance(cell, (str, bytes)):
            raise CellError(f"row {row}, column {column}: argument must be a string or a number, got {cell!r:.40}")


@contextmanager
def _as_data_error() -> Iterator[None]:
    """The refusals of scikit-learn as those of this package, in the same words."""
    try:
        yield
    except (PushforwardError, NotFittedError):
        raise
    except ValueError as error:
        raise DataError(str(error)) from None


def _array(table: Any) -> Any:
    """Lists of rows with text as an array of objects, in which numbers stay numbers."""
    if isinstance(table, (list, tuple)) and np.asarray(table).dtype.kind in "US":
        return np.asarray(table, dtype=object)
    return table


def require_count(name: str, count: Any, least: int) -> None:
    """Raise OptionError for a number of draws that is not whole, or below ``least``."""
    if not isinstance(count, Integral) or count < least:
        raise OptionError(f"{name}: a whole number of at least {least} expected, got {count!r}")
