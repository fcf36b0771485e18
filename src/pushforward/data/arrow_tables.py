"""Tables in files as Arrow tables, with the types of their columns: delimited text, Parquet and NumPy's .npy.

Text is read twice: for the types, then for the values. Both passes hold one batch at a time, so that `batches` needs
the same memory for a file of any size.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Any

from pushforward.data.arrays import read_npy
from pushforward.data.columns import default_names
from pushforward.data.reading import (
    expansion_limit,
    file_size,
    foreign,
    foreign_items,
    is_gzip,
    open_unpacked,
    require_size,
)
from pushforward.data.tables import Layout, find_layout, index_columns, line_of_row, open_parquet
from pushforward.data.text_checks import MISSING, require_closed_quotes, require_utf_8
from pushforward.errors import DataError

_BLOCK = 4 << 20
_TEXT = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
ENDINGS = (*_TEXT, ".parquet", ".npy")

# Digits after a leading zero, as in postal codes, are no number.
_LEADING_ZERO = r"^[+-]?0\d"
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
# Words between separators that are not read, such as a|b or a b.
_SEPARATED = re.compile(r"\w *[| ] *\w")
_YEAR = re.compile(r"(19|20)\d\d")


@dataclass(frozen=True)
class ArrowTable:
    """The content of a file. notes: sentences about how it was read that the user should know."""

    table: Any
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class TableFile:
    """A file that is read in batches, as often as wanted: the names and types of its columns, and the layout of text.

    notes: sentences about how it is read that the user should know.
    """

    path: Path
    names: tuple[str, ...]
    layout: Layout | None = None
    types: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """The path, for messages."""
        return str(self.path)

    def batches(self, rows: int) -> Iterator[Any]:
        """Record batches of at most ``rows`` rows; memory is bounded."""
        return _batches(self, rows)


def read_arrow(path: Path | str) -> ArrowTable:
    """The table in a file: .csv or .tsv (also with .gz), .parquet or .npy.

    Columns of text are of type int64, float64, boolean or string, whichever all their cells have; cells that are empty
    or have a word for a missing value are null. The index that pandas wrote into a Parquet file is left out.

    Raises DataError for a file that cannot be read.
    """
    import pyarrow

    path = Path(path)
    size = file_size(path)
    source = open_table(path)
    parts, total = [], 0
    for batch in source.batches(1 << 16):
        total += batch.nbytes
        require_size(path, total)
        if total > 16 * expansion_limit(size):
            raise DataError(f"{path}: {size:,} bytes expand to more than {total:,}, which is implausible for data")
        parts.append(batch)
    if not parts:
        raise DataError(f"{path}: the table has no rows")
    return ArrowTable(pyarrow.Table.from_batches(parts), source.notes)


def batches(path: Path | str, rows: int = 1 << 16) -> Iterator[Any]:
    """Record batches of at most ``rows`` rows of a file, of the types that `read_arrow` finds; memory is bounded.

    Raises DataError for a file that cannot be read.
    """
    return open_table(path).batches(rows)


def open_table(path: Path | str) -> TableFile:
    """A file to be read in batches; text is read once for its types. Raises DataError for one that cannot be read."""
    import pyarrow

    path = Path(path)
    lower = path.name.lower()
    file_size(path, in_blocks=True)
    if lower.endswith(_TEXT):
        return _open_text(path)
    if lower.endswith(".parquet"):
        return _open_parquet(path)
    if lower.endswith(".npy"):
        array = read_npy(path)
        if array.ndim > 2:
            raise DataError(f"{path}: a table (N, D) expected, got an array of shape {array.shape}")
        names = default_names(array.shape[1] if array.ndim == 2 else 1)
        return TableFile(path, names, types=dict.fromkeys(names, pyarrow.from_numpy_dtype(array.dtype)))
    raise DataError(f"{path}: a table expected, in a file ending in {', '.join(ENDINGS)}")


def _batches(source: TableFile, rows: int) -> Iterator[Any]:
    import pyarrow

    if source.layout is not None:
        for batch in _text_batches(source.path, source.layout, source.names):
            typed = [_converted(batch.column(i), source.types[name]) for i, name in enumerate(source.names)]
            whole = pyarrow.RecordBatch.from_arrays(typed, names=list(source.names))
            yield from (whole.slice(start, rows) for start in range(0, len(whole), rows))
    elif source.path.name.lower().endswith(".npy"):
        matrix = read_npy(source.path)
        matrix = matrix[:, None] if matrix.ndim == 1 else matrix
        for start in range(0, len(matrix), rows):
            block = matrix[start : start + rows]
            columns = [pyarrow.array(column.copy(), from_pandas=True) for column in block.T]
            yield pyarrow.RecordBatch.from_arrays(columns, names=list(source.names))
    else:
        yield from _parquet_batches(source, rows)


def _open_parquet(path: Path) -> TableFile:
    import pyarrow.parquet

    with foreign(path, "a Parquet file"), pyarrow.parquet.ParquetFile(path) as file:
        schema = file.schema_arrow
    index = index_columns(schema)
    if len(index) == len(schema.names):
        index = frozenset()
    names = tuple(name for i, name in enumerate(schema.names) if i not in index)
    if len(set(names)) < len(names):
        raise DataError(f"{path}: two columns have one name; every column needs a unique name")
    left_out = ", ".join(schema.names[i] for i in sorted(index))
    notes = (f"the index of pandas, {left_out}, is left out",) if index else ()
    return TableFile(path, names, types={name: schema.field(name).type for name in names}, notes=notes)


def _parquet_batches(source: TableFile, rows: int) -> Iterator[Any]:
    form, names = "a Parquet file", list(source.names)
    with foreign(source.path, form):
        file = open_parquet(source.path)
        batches = file.iter_batches(batch_size=rows, columns=names, use_threads=False)
    with file:
        for batch in foreign_items(batches, source.path, form):
            yield batch.select(names)


def _open_text(path: Path) -> TableFile:
    open_file = _opener(path)
    with foreign(path, "delimited text"):
        layout = find_layout(path, open_file)
        remark = require_closed_quotes(path, open_file, layout.row_form)
    if len(set(layout.names)) < len(layout.names):
        twice = next(name for i, name in enumerate(layout.names) if name in layout.names[:i])
        raise DataError(f"{path}: two columns are named {twice!r}; every column needs a unique name")
    ladders = [_Ladder(name) for name in layout.names]
    rows = 0
    for batch in _text_batches(path, layout, layout.names):
        for i, ladder in enumerate(ladders):
            ladder.climb(batch.column(i), rows)
        rows += len(batch)
    types = {ladder.name: ladder.type for ladder in ladders}
    notes = [*([remark] if remark else []), *_header_notes(layout), *(ladder.note for ladder in ladders if ladder.note)]
    return TableFile(path, layout.names, layout, types, tuple(notes))


def _opener(path: Path) -> Callable[[], BufferedReader]:
    """A function that opens the text in a file."""
    size = file_size(path, in_blocks=True)
    return lambda: open_unpacked(path, size, in_blocks=True)


def _header_notes(layout: Layout) -> Iterator[str]:
    """Remarks where a header may be a row, or a row a header."""
    numbers = [cell for cell in layout.first if cell.strip() and _is_number(cell)]
    words = [cell for cell in layout.first if cell.strip() and not _is_number(cell)]
    if layout.unnamed:
        named = ", ".join(layout.names[i] for i in layout.unnamed[:3]) + (", ..." if len(layout.unnamed) > 3 else "")
        yield f"the header has no name for {len(layout.unnamed)} of the columns, here called {named}"
    if layout.header and numbers:
        yield (
            f"the first row is taken for the header, although {', '.join(numbers[:3])} "
            f"{'is a number' if len(numbers) == 1 else 'are numbers'}; if it is a row, correct {words[0]!r} in it"
        )
    elif len(layout.first) == 1 and _SEPARATED.search(layout.first[0]):
        yield "the file has one column; if it has several, separate the cells by commas, semicolons or tabs"
    elif not layout.header and len(numbers) > 1 and all(_YEAR.fullmatch(cell.strip()) for cell in layout.first):
        yield f"the first row, {', '.join(numbers[:3])}, is taken for data; if it is a header, use text for names"


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _text_batches(path: Path, layout: Layout, names: tuple[str, ...]) -> Iterator[Any]:
    """Batches of the cells as text."""
    import pyarrow
    import pyarrow.csv

    wrong: list[Any] = []

    def refuse(row: Any) -> str:
        wrong.append(row)
        return "error"

    places = [str(i) for i in range(len(names))]
    options = {
        "read_options": pyarrow.csv.ReadOptions(
            use_threads=False, block_size=_BLOCK, column_names=places, skip_rows_after_names=int(layout.header)
        ),
        "parse_options": pyarrow.csv.ParseOptions(
            delimiter=layout.delimiter, newlines_in_values=True, invalid_row_handler=refuse
        ),
        "convert_options": pyarrow.csv.ConvertOptions(
            column_types={place: pyarrow.string() for place in places}, strings_can_be_null=False
        ),
    }
    try:
        with foreign(path, "delimited text"):
            stream = pyarrow.input_stream(str(path), compression="gzip" if is_gzip(path) else None)
            reader = pyarrow.csv.open_csv(stream, **options)
        with reader:
            yield from foreign_items(iter(reader), path, "delimited text")
    except DataError:
        if wrong:
            raise _wrong_row(path, layout, wrong[0]) from None
        require_utf_8(path, _opener(path))
        raise


def _wrong_row(path: Path, layout: Layout, row: Any) -> DataError:
    """The error of a row that pyarrow refuses. Its number counts the header and cells in several lines as one."""
    where = f"the row {row.text[:60]!r}"
    if row.number is not None:
        number = row.number - layout.header
        line = line_of_row(path, _opener(path), layout, number - 1)
        where = f"row {number} (line {line}), {row.text[:60]!r}"
    return DataError(
        f"{path}: the number of cells is {row.actual_columns} in {where}, but {row.expected_columns} in the first "
        "line; every row needs a cell for each column"
    )


class _Ladder:
    """The narrowest type of a column of text so far: no type, int64, float64 or boolean, string."""

    def __init__(self, name: str) -> None:
        import pyarrow

        self.name = name
        self._rungs = [pyarrow.null(), pyarrow.int64(), pyarrow.float64(), pyarrow.bool_(), pyarrow.string()]
        self._place = 0
        self._present = self._numbers = 0
        self._word = ""

    @property
    def type(self) -> Any:
        return self._rungs[self._place]

    def climb(self, text: Any, rows: int) -> None:
        """Take further cells, which start at row ``rows``, into account."""
        import pyarrow
        import pyarrow.compute as compute

        cells = _without_missing(text)
        while self._place < len(self._rungs) - 1 and not self._holds(cells):
            self._place += 1
        present = len(cells) - cells.null_count
        self._present += present
        if not pyarrow.types.is_string(self.type):
            self._numbers += 0 if pyarrow.types.is_boolean(self.type) else present
            return
        numbers = compute.match_substring_regex(cells, _NUMBER).fill_null(True)
        self._numbers += compute.sum(numbers).as_py() - cells.null_count
        if not self._word and (place := compute.index(numbers, False).as_py()) >= 0:
            self._word = f"{cells[place].as_py()[:40]!r} in row {rows + place + 1}"

    @property
    def note(self) -> str:
        """A remark about a column of text in which most cells are numbers; empty for any other."""
        import pyarrow

        if not pyarrow.types.is_string(self.type) or 2 * self._numbers <= self._present:
            return ""
        reason = f"because of {self._word}" if self._word else "because some start with 0, as postal codes do"
        return f"column {self.name!r} is read as text, {reason}; {self._numbers:,} of its cells are numbers"

    def _holds(self, cells: Any) -> bool:
        import pyarrow
        import pyarrow.compute as compute

        if pyarrow.types.is_null(self.type):
            return bool(cells.null_count == len(cells))
        if pyarrow.types.is_boolean(self.type):
            words = compute.is_in(compute.utf8_lower(cells.drop_null()), pyarrow.array(["true", "false"]))
            return not self._numbers and bool(compute.all(words).as_py() is not False)
        if compute.any(compute.match_substring_regex(cells, _LEADING_ZERO + r"(\d|$)")).as_py():
            return False
        try:
            cells.cast(self.type)
        except pyarrow.ArrowInvalid:
            return False
        return True


def _without_missing(text: Any) -> Any:
    """Cells without white space around them, null where they are a word for a missing value."""
    import pyarrow
    import pyarrow.compute as compute

    trimmed = compute.utf8_trim_whitespace(text)
    missing = compute.is_in(trimmed, pyarrow.array(MISSING))
    return compute.if_else(missing, pyarrow.scalar(None, pyarrow.string()), trimmed)


def _converted(text: Any, arrow: Any) -> Any:
    """Cells of text as an array of the given type."""
    import pyarrow
    import pyarrow.compute as compute

    cells = _without_missing(text)
    if pyarrow.types.is_boolean(arrow):
        return compute.equal(compute.utf8_lower(cells), "true")
    return pyarrow.nulls(len(cells)) if pyarrow.types.is_null(arrow) else cells.cast(arrow)
