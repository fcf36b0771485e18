"""The choice of columns of a table, for the data and the context, and errors for missing values."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pushforward.data.dataset import DataSet, table_set
from pushforward.error_messages import did_you_mean
from pushforward.errors import DataError, OptionError

MAX_COLUMNS = 100_000

# Fewer rows may count by chance.
_ENOUGH_TO_COUNT = 10
# The names that pandas gives an unnamed index: in Parquet, and in text that it read as a column and wrote again.
_INDEX_NAME = re.compile(r"__index_level_\d+__|Unnamed: \d+(_level_\d+)?")


@dataclass(frozen=True)
class Choice:
    """Column positions in the file: those of the data and those of the context.

    asked: whether the user chose the columns of the data; otherwise they are all remaining columns. indices: those data
    columns whose names are typical of an index. left_out: columns that only number the rows. booleans: columns
    of truth values among the chosen ones.
    """

    names: tuple[str, ...]
    x: tuple[int, ...]
    context: tuple[int, ...]
    asked: bool = True
    indices: frozenset[int] = frozenset()
    left_out: tuple[int, ...] = ()
    booleans: tuple[int, ...] = ()

    @property
    def needed(self) -> tuple[int, ...]:
        """All chosen positions, those of the data first."""
        return self.x + self.context


def default_names(count: int) -> tuple[str, ...]:
    """x0, x1, ... for a table without names."""
    return tuple(f"x{i}" for i in range(count))


def choose(
    where: str,
    names: Sequence[str],
    columns: Sequence[str] | None,
    context: Sequence[str] | None,
    *,
    named: bool,
    unnamed: Collection[int] = (),
    index: Collection[int] = (),
) -> Choice:
    """Choose columns of a table by name. Without `columns`, every column outside the context is data.

    Args: named: whether the names come from the file; if not, a column may also be chosen by its index. unnamed:
        positions of columns without a name in a file that names others. index: positions of columns that the file
        declares as its index; they are data only if the user chooses them.

    Raises: DataError: if a column is not there, the file names two alike, or it has none. OptionError: if a column is
        chosen twice, or no column is left for the data.
    """
    if not names:
        raise DataError(f"{where}: the table has no columns")
    if len(names) > MAX_COLUMNS:
        raise DataError(f"{where}: {len(names):,} columns, at most {MAX_COLUMNS:,} are read")
    positions = {name: i for i, name in enumerate(names)}
    if len(positions) != len(names):
        twice = next(name for i, name in enumerate(names) if positions[name] != i)
        raise DataError(f"{where}: two columns are named {twice!r}; every column needs a unique name")

    def position(name: str, option: str) -> int:
        if name in positions:
            return positions[name]
        if not named and name.isdecimal() and int(name) < len(names):
            return int(name)
        hint = did_you_mean(name, names) or f"it has {', '.join(names[:10])}{', ...' if len(names) > 10 else ''}"
        raise DataError(f"{where}: {option} names column {name!r}, which does not exist; {hint}")

    chosen_context = tuple(position(name, "context") for name in context or ())
    left_out: tuple[int, ...] = ()
    if columns is None:
        chosen = tuple(i for i in range(len(names)) if i not in chosen_context)
        if set(chosen) - set(index):
            left_out = tuple(i for i in chosen if i in index)
            chosen = tuple(i for i in chosen if i not in index)
    else:
        chosen = tuple(position(name, "columns") for name in columns)
    together = chosen + chosen_context
    if len(set(together)) != len(together):
        twice = names[next(i for i, count in Counter(together).items() if count > 1)]
        raise OptionError(f"columns and context: column {twice!r} is chosen twice")
    if not chosen:
        raise OptionError(f"columns and context: no column of {where} is left to model")
    indices = frozenset(i for i in chosen if i in unnamed or _INDEX_NAME.fullmatch(names[i]))
    return Choice(tuple(names), chosen, chosen_context, columns is not None, indices, left_out)


def without_row_numbers(values: np.ndarray, choice: Choice) -> tuple[np.ndarray, Choice]:
    """Values and choice without columns that only number the rows, unless the user chose them by name.

    Such columns count from 0 or 1, or have the name of an index and distinct integers. If all columns are of this kind,
    they are the data.

    Args: values: as in `finish`.
    """
    if choice.asked:
        return values, choice
    number = [_numbers_rows(values[:, place], i in choice.indices) for place, i in enumerate(choice.x)]
    if not any(number) or all(number):
        return values, choice
    rest = [place for place, counts in enumerate(number) if not counts]
    places = [*rest, *range(len(choice.x), values.shape[1])]
    x = tuple(choice.x[place] for place in rest)
    left_out = tuple(sorted({*choice.left_out, *choice.x} - {*x}))
    return values[:, places], replace(choice, x=x, left_out=left_out)


def _numbers_rows(column: np.ndarray, index: bool) -> bool:
    start = column[0] if len(column) else np.nan
    if start in (0, 1) and len(column) >= _ENOUGH_TO_COUNT and bool((column == np.arange(len(column)) + start).all()):
        return True
    return index and bool((column == np.floor(column)).all()) and len(np.unique(column)) == len(column)


def finish(
    name: str, source: str, values: np.ndarray, choice: Choice, line_of: Callable[[int], int | None] | None = None
) -> DataSet:
    """The chosen columns as a data set.

    Args: values: `(N, len(choice.needed))` float64, NaN where a value is missing. line_of: returns the line of the file
        for a row (counted from 0), for error messages.

    Raises:
        DataError: if there are no rows, or a value is missing or not finite.
    """
    if len(values) == 0:
        raise DataError(f"{source}: the table has no rows")
    values, choice = without_row_numbers(values, choice)
    bad = ~np.isfinite(values)
    if bad.any():
        rows = np.flatnonzero(bad.any(axis=1))
        row, place = int(rows[0]), int(np.flatnonzero(bad[rows[0]])[0])
        value = values[row, place]
        kind = "a missing value (or NaN)" if np.isnan(value) else f"the value {value}"
        line = line_of(row) if line_of else None
        raise DataError(
            f"{source}: {kind} in row {row + 1}{f' (line {line})' if line else ''}, column "
            f"{choice.names[choice.needed[place]]!r}; {len(rows):,} of {len(values):,} rows have missing or infinite "
            "values: remove these rows, fill in the values, or choose other columns with --columns"
        )
    width = len(choice.x)
    return table_set(
        name,
        np.ascontiguousarray(values[:, :width]),
        [choice.names[i] for i in choice.x],
        context=np.ascontiguousarray(values[:, width:]) if choice.context else None,
        context_columns=[choice.names[i] for i in choice.context] if choice.context else None,
        left_out=[choice.names[i] for i in choice.left_out],
        booleans=[choice.names[i] for i in choice.booleans],
        source=source,
    )


def from_matrix(
    name: str, source: str, matrix: np.ndarray, columns: Sequence[str] | None, context: Sequence[str] | None
) -> DataSet:
    """A table with the columns x0, x1, ... from a matrix `(N, D)` or vector `(N,)` of numbers without names."""
    matrix = matrix[:, None] if matrix.ndim == 1 else matrix
    choice = choose(source, default_names(matrix.shape[1]), columns, context, named=False)
    return finish(name, source, matrix[:, list(choice.needed)].astype(np.float64), choice)
