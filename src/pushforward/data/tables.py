"""Tables in files: delimited text (.csv, .csv.gz, .tsv) and Parquet, both through pyarrow.

If pyarrow refuses delimited text, Python's `csv` reads it again. It is slower, but an error names the row and column.
"""

import contextlib
import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from io import BufferedReader, TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from pushforward.array_types import Array
from pushforward.data.columns import MAX_COLUMNS, Choice, choose, default_names, finish
from pushforward.data.dataset import DataSet
from pushforward.data.reading import expansion_limit, file_size, foreign, open_unpacked, require_size
from pushforward.data.text_checks import MISSING, RowForm, number_columns, require_closed_quotes, require_not_utf_16
from pushforward.errors import DataError

_LINE_LIMIT = 1 << 20
_FORM = "delimited text"
# Rows of a piece: by Python's csv, and of Parquet, where bytes of a column are read ahead.
_SLOW_ROWS, _BATCH_ROWS, _BUFFER = 1 << 14, 1 << 14, 1 << 20

_Open = Callable[[], BufferedReader]


@dataclass(frozen=True)
class Blocks:
    """The chosen columns of a table as matrices `(n, K)` of float64, one after the other, NaN for missing values.

    line_of: returns the line of the file for a row (counted from 0), for error messages.
    """

    choice: Choice
    matrices: Iterator[Array]
    line_of: Callable[[int], int | None] | None = None

    def together(self) -> Array:
        """All rows in one matrix."""
        matrices = list(self.matrices)
        return np.concatenate(matrices) if matrices else np.empty((0, len(self.choice.needed)))


@dataclass(frozen=True)
class Layout:
    """The layout of a text file: its delimiter, whether it starts with a header, and the column names.

    unnamed: the columns without a name in the header. first: the cells of the first row. numbers: the columns of
    numbers and dates in the first rows.
    """

    delimiter: str
    header: bool
    names: tuple[str, ...]
    unnamed: tuple[int, ...] = ()
    first: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()

    @property
    def row_form(self) -> RowForm:
        """The form of the rows below the header."""
        return RowForm(self.delimiter, len(self.names), self.numbers)


def read_csv(path: Path, columns: Sequence[str] | None = None, context: Sequence[str] | None = None) -> DataSet:
    """A table from delimited text in UTF-8: comma, semicolon or tab, with or without a header, gzipped or not.

    Raises:
        DataError: for text in a numeric column, rows of unequal length or missing values, with row and column.
    """
    file_size(path)
    blocks = csv_blocks(path, columns, context, in_blocks=False)
    return finish(path.name, str(path), blocks.together(), blocks.choice, blocks.line_of)


def csv_blocks(
    path: Path, columns: Sequence[str] | None, context: Sequence[str] | None, *, in_blocks: bool = True
) -> Blocks:
    """`read_csv` in blocks, with missing values as NaN. in_blocks: False if all rows are to be held in memory."""
    size = file_size(path, in_blocks=True)

    def open_file() -> BufferedReader:
        return open_unpacked(path, size, in_blocks=in_blocks)

    with foreign(path, _FORM):
        layout = find_layout(path, open_file)
        require_closed_quotes(path, open_file, layout.row_form)
    choice = choose(str(path), layout.names, columns, context, named=layout.header, unnamed=layout.unnamed)

    def line_of(row: int) -> int | None:
        return line_of_row(path, open_file, layout, row)

    return Blocks(choice, _csv_matrices(path, open_file, layout, choice), line_of)


def line_of_row(path: Path, open_file: _Open, layout: Layout, row: int) -> int | None:
    """The line of the file in which a row (counted from 0) ends; None beyond the last row."""
    return next(islice(_rows(path, open_file, layout.delimiter), row + layout.header, None), (None, []))[0]


def _csv_matrices(path: Path, open_file: _Open, layout: Layout, choice: Choice) -> Iterator[Array]:
    """The chosen columns: by pyarrow, and from where it refuses the text by Python's csv."""
    done = 0
    with open_file() as file:
        parts = _read_fast(file, layout, choice)
        while parts is not None:
            with foreign(path, _FORM):
                try:
                    matrix = next(parts, None)
                except _refusal():
                    break
            if matrix is None:
                return
            done += len(matrix)
            yield matrix
    yield from _read_slow(path, open_file, layout, choice, done)


def _rows(path: Path, open_file: _Open, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Each non-empty row, with the number of its last line."""

    def lines() -> Iterator[str]:
        with TextIOWrapper(open_file(), encoding="utf-8-sig", newline="") as text:
            while line := text.readline(_LINE_LIMIT + 1):
                if len(line) > _LINE_LIMIT:
                    raise DataError(
                        f"{path}: a line of more than {_LINE_LIMIT:,} characters; this is not a table of numbers"
                    )
                yield line

    try:
        reader = csv.reader(lines(), delimiter=delimiter)
        for cells in reader:
            if cells:
                yield reader.line_num, cells
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: text in UTF-8 expected, but it holds {error.object[error.start : error.start + 1]!r}; "
            "save the file as UTF-8"
        ) from error
    except csv.Error as error:
        raise DataError(f"{path}: cannot be read as delimited text (line {reader.line_num}: {error})") from error


def find_layout(path: Path, open_file: _Open) -> Layout:
    """The layout of delimited text, from its first rows; raises DataError."""
    with open_file() as file:
        require_not_utf_16(path, file.read(4))
    first: dict[str, list[list[str]]] = {}
    failures: dict[str, DataError] = {}
    for candidate in ",;\t":
        try:
            rows = [cells for _, cells in islice(_rows(path, open_file, candidate), 20)]
        except DataError as error:
            failures[candidate] = error  # with the wrong delimiter a wide row may be one field that is too long for csv
        else:
            first |= {candidate: rows} if rows else {}
    if all(len(rows[0]) == 1 for rows in first.values()):
        for candidate in failures:  # a field that is too long may also be one without a closing quote
            require_closed_quotes(path, open_file, RowForm(candidate, 0))
    if not first:
        raise next(iter(failures.values()), DataError(f"{path}: the table has no rows"))
    # A delimiter with the same count in every row beats a frequent one: "1,5;2,5" has decimal commas.
    widths = {d: [len(cells) for cells in rows] for d, rows in first.items()}
    even = [d for d, counts in widths.items() if len(set(counts)) == 1 and counts[0] > 1]
    delimiter = even[-1] if even else max(first, key=lambda d: widths[d][0])
    rows = first[delimiter]
    if len(rows[0]) > MAX_COLUMNS:
        raise DataError(f"{path}: {len(rows[0]):,} columns, at most {MAX_COLUMNS:,} are read")
    if not _is_header(rows):
        return Layout(delimiter, False, default_names(len(rows[0])), (), tuple(rows[0]), number_columns(rows))
    names = tuple(cell.strip() or f"x{i}" for i, cell in enumerate(rows[0]))
    unnamed = tuple(i for i, cell in enumerate(rows[0]) if not cell.strip())
    return Layout(delimiter, True, names, unnamed, tuple(rows[0]), number_columns(rows[1:]))


def _is_header(rows: list[list[str]]) -> bool:
    """Whether the first row is a header: all its cells are text, or a cell is text above a number in the second row."""
    text = [_number(cell) is None for cell in rows[0]]
    if all(text):
        return True
    if len(rows) < 2:
        return False
    return any(is_text and _number(below) is not None for is_text, below in zip(text, rows[1], strict=False))


def _number(cell: str) -> float | None:
    """The number in a cell, NaN for a missing value, None for text."""
    cell = cell.strip()
    if cell in MISSING:
        return float("nan")
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return None


def _read_fast(file: BufferedReader, layout: Layout, choice: Choice) -> Iterator[Array] | None:
    """The chosen columns by pyarrow, `(n, K)` a piece; None if it refuses the file at once."""
    import pyarrow.csv

    names = [str(i) for i in range(len(layout.names))]
    needed = [names[i] for i in choice.needed]
    try:
        reader = pyarrow.csv.open_csv(
            file,
            read_options=pyarrow.csv.ReadOptions(
                use_threads=False, column_names=names, skip_rows_after_names=int(layout.header)
            ),
            parse_options=pyarrow.csv.ParseOptions(delimiter=layout.delimiter),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types={name: pyarrow.float64() for name in needed},
                include_columns=needed,
                null_values=list(MISSING),
            ),
        )
    except _refusal():
        return None
    return (_matrix(batch) for batch in reader)


def _refusal() -> type[Exception]:
    """The error by which pyarrow refuses text."""
    import pyarrow

    refusal: type[Exception] = pyarrow.ArrowException
    return refusal


def _matrix(table: Any) -> np.ndarray:
    """The columns of an Arrow batch of float64 as a matrix, NaN for null."""
    values = np.empty((table.num_rows, table.num_columns))
    for i, column in enumerate(table.columns):
        values[:, i] = column.to_numpy(zero_copy_only=False)
    return values


def _read_slow(path: Path, open_file: _Open, layout: Layout, choice: Choice, skip: int) -> Iterator[Array]:
    """The chosen columns by Python's csv, `(n, K)` a piece, without the first ``skip`` rows."""
    rows = enumerate(islice(_rows(path, open_file, layout.delimiter), int(layout.header), None), 1)
    values = (_numbers(path, layout, choice, row, line, cells) for row, (line, cells) in islice(rows, skip, None))
    while piece := list(islice(values, _SLOW_ROWS)):
        yield np.asarray(piece, dtype=np.float64)


def _numbers(path: Path, layout: Layout, choice: Choice, row: int, line: int, cells: Sequence[str]) -> list[float]:
    """The numbers in the chosen cells of a row, NaN for missing values; raises DataError."""
    if len(cells) != len(layout.names):
        raise DataError(
            f"{path}: row {row} (line {line}) has {len(cells)} values, but the first line has {len(layout.names)}"
        )
    numbers = []
    for i in choice.needed:
        number = _number(cells[i])
        if number is None:
            raise DataError(
                f"{path}: text {cells[i][:40]!r} in row {row} (line {line}), column {layout.names[i]!r}, where a "
                "number is expected; correct it, or choose the numeric columns with --columns"
            )
        numbers.append(number)
    return numbers


def read_parquet(path: Path, columns: Sequence[str] | None = None, context: Sequence[str] | None = None) -> DataSet:
    """A table from a Parquet file.

    Raises: DataError: if it is damaged, a chosen column is not numeric, or a value is missing.
    """
    import pyarrow.parquet

    size = file_size(path)
    blocks = parquet_blocks(path, columns, context)
    with foreign(path, "a Parquet file"):
        rows = pyarrow.parquet.read_metadata(path).num_rows
    require_size(path, 8 * rows * len(blocks.choice.needed))
    if 8 * rows * len(blocks.choice.needed) > expansion_limit(size):
        raise DataError(f"{path}: {size:,} bytes declare {rows:,} rows, which is implausible for data")
    return finish(path.name, str(path), blocks.together(), blocks.choice)


def parquet_blocks(path: Path, columns: Sequence[str] | None, context: Sequence[str] | None) -> Blocks:
    """`read_parquet` in blocks, with missing values as NaN."""
    import pyarrow.parquet

    file_size(path, in_blocks=True)
    with foreign(path, "a Parquet file"):
        schema = pyarrow.parquet.read_schema(path)
        choice = choose(str(path), schema.names, columns, context, named=True, index=index_columns(schema))
        _require_numeric(path, schema, choice)
    booleans = tuple(i for i in choice.needed if pyarrow.types.is_boolean(schema.field(i).type))
    choice = replace(choice, booleans=booleans)
    return Blocks(choice, _parquet_matrices(path, [schema.names[i] for i in choice.needed]))


def _parquet_matrices(path: Path, needed: Sequence[str]) -> Iterator[Array]:
    import pyarrow.parquet

    # Decimals do not convert to NumPy, and nulls only from floats.
    target = pyarrow.schema([(name, pyarrow.float64()) for name in needed])
    with foreign(path, "a Parquet file"):
        file = open_parquet(path)
        batches = file.iter_batches(_BATCH_ROWS, columns=needed, use_threads=False)
    with file:
        while True:
            with foreign(path, "a Parquet file"):
                batch = next(batches, None)
                if batch is None:
                    return
                # Selected again after reading: pyarrow keeps the file's order, and for "a" also reads "a.b".
                matrix = _matrix(batch.select(needed).cast(target, safe=False))
            yield matrix


def open_parquet(path: Path) -> Any:
    """A Parquet file to be read in batches, in memory that does not grow with its rows."""
    import pyarrow.parquet

    # With a buffer, column chunks are not read whole; read ahead, all that were read would be kept.
    return pyarrow.parquet.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False)


def index_columns(schema: Any) -> frozenset[int]:
    """The columns that pandas wrote as the index of the table, from the file's metadata."""
    with contextlib.suppress(ValueError, RecursionError):
        metadata = schema.pandas_metadata
        declared = metadata.get("index_columns") if isinstance(metadata, dict) else None
        names = {name for name in declared if isinstance(name, str)} if isinstance(declared, list) else set()
        return frozenset(i for i, name in enumerate(schema.names) if name in names)
    return frozenset()


def _require_numeric(path: Path, schema: Any, choice: Choice) -> None:
    from pyarrow import types

    for i in choice.needed:
        kind = schema.field(i).type
        tests = (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal, types.is_null)
        if not any(test(kind) for test in tests):
            raise DataError(
                f"{path}: column {choice.names[i]!r} holds {kind} values, where numbers are expected; choose the "
                "numeric columns with --columns"
            )
