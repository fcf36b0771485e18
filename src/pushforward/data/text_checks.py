"""Checks of delimited text that its parsers do not make: quoted cells that are not closed, and NUL bytes.

A cell that starts with a quote ends at the next single quote, which may be many lines below. A missing quote therefore
hides rows in a cell, and no parser raises an error.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from pushforward.errors import DataError

# Cells without a value.
MISSING = ("", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NAN", "-nan", "null", "NULL", "None", "?")

# Bytes that are read together. No quoted cell and no line is longer.
_BLOCK = 4 << 20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_SHOWN = 40

_LINE_END = re.compile(rb"\r\n|\r|\n")
# The rest of a quoted cell after its first quote; two quotes in it stand for one.
_REST_OF_CELL = re.compile(rb'(?:[^"]++|"")*+"')
# Numbers, dates and times in any notation.
_NUMBER = re.compile(r"[-+]?[.,:/ -]*+\d[\d.,:/ eETZ+-]*+%?")

_Open = Callable[[], BufferedReader]


@dataclass(frozen=True)
class RowForm:
    """The form of the rows of delimited text: the delimiter, the number of cells, and the columns of numbers."""

    delimiter: str
    cells: int
    numbers: Sequence[int] = ()

    def matches(self, line: bytes) -> bool:
        """Whether a line is a row of this form if its quotes have no meaning; False without columns of numbers."""
        cells = line.decode(errors="replace").split(self.delimiter)
        return len(cells) == self.cells and bool(self.numbers) and all(_is_number(cells[i]) for i in self.numbers)


@dataclass(frozen=True)
class _QuotedCell:
    """A quoted cell that runs over line ends, is not closed, or has text after its closing quote.

    offset: of its first quote in the file. lines: those of the rows that it is in.
    """

    offset: int
    content: bytes
    lines: Sequence[bytes]
    closed: bool
    followed: bool

    @property
    def line_ends(self) -> int:
        return len(_LINE_END.findall(self.content))

    def hides_rows(self, form: RowForm) -> bool:
        if not self.closed or not self.line_ends:
            return not self.closed
        return self.followed or all(map(form.matches, self.lines))

    @property
    def shown(self) -> str:
        return repr(_LINE_END.split(self.content)[0].decode(errors="replace")[:_SHOWN])


def number_columns(rows: Sequence[Sequence[str]]) -> tuple[int, ...]:
    """The columns in which each row that is long enough has a number, a date, a time or an empty cell."""
    widest = max(map(len, rows), default=0)
    columns = ([row[i] for row in rows if i < len(row)] for i in range(widest))
    return tuple(i for i, cells in enumerate(columns) if any(map(str.strip, cells)) and all(map(_is_number, cells)))


def require_utf_8(path: Path, open_file: _Open) -> None:
    """Raise DataError, with its line, for the first byte of a file that is not text in UTF-8."""
    decoder, offset = codecs.getincrementaldecoder("utf-8")(), 0
    with open_file() as file:
        while block := file.read(_BLOCK):
            waiting = len(decoder.getstate()[0])
            try:
                decoder.decode(block)
            except UnicodeDecodeError as error:
                wrong = error.object[error.start : error.start + 1]
                line = _line_of(open_file, offset - waiting + error.start)
                raise DataError(
                    f"{path}: text in UTF-8 expected, but line {line} holds {wrong!r}; save the file as UTF-8"
                ) from None
            offset += len(block)


def require_not_utf_16(path: Path, start: bytes) -> None:
    """Raise DataError if the first bytes of a file are those of text in UTF-16 or UTF-32."""
    if start.startswith(_UTF_16) or b"\0" in start[:4]:
        raise DataError(f"{path}: text in UTF-8 expected, but it is in UTF-16 or UTF-32; save the file as UTF-8")


def require_closed_quotes(path: Path, open_file: _Open, form: RowForm) -> str:
    """Raise DataError, with its line, for a quoted cell that hides rows of delimited text, or a NUL byte.

    A quoted cell may run over line ends. It hides rows if it is not closed, if text follows its closing quote, or if
    each of its lines has the form of a row. Memory is bounded.

    Returns a sentence about text after the closing quote of a cell in one line; empty if there is none.
    """
    remark = ""
    for cell in _unusual_cells(path, open_file, form.delimiter):
        if not cell.hides_rows(form) and not (cell.followed and not remark):
            continue
        line = _line_of(open_file, cell.offset)
        where = f"line {line}: the quoted cell that starts with {cell.shown}"
        if not cell.closed:
            raise DataError(f"{path}: {where} is not closed; close it in that line, or remove the quote")
        if cell.line_ends:
            raise DataError(
                f"{path}: {where} runs to line {line + cell.line_ends} and hides rows; close it in line {line}, or "
                "remove the quote"
            )
        remark = f"{where} has text after its closing quote; inside a quoted cell, write each quote twice"
    return remark


def _unusual_cells(path: Path, open_file: _Open, delimiter: str) -> Iterator[_QuotedCell]:
    """The quoted cells that do not end with a quote in the same line."""
    scan = _Scan(delimiter)
    rest, offset = b"", 0  # the text from the start of a row, and the number of bytes of the file before it
    with open_file() as file:
        block = file.read(_BLOCK)
        if block.startswith(_BYTE_ORDER_MARK):
            block, offset = block[len(_BYTE_ORDER_MARK) :], len(_BYTE_ORDER_MARK)
        while block or rest:
            if (place := block.find(b"\0")) >= 0:
                line = _line_of(open_file, offset + len(rest) + place)
                raise DataError(f"{path}: line {line} holds a NUL byte; the file is damaged, or not text in UTF-8")
            too_long = len(rest) > _BLOCK
            text = rest + (block or b"\n")
            cells, used = scan.read(text, offset, last=too_long or not block)
            yield from cells
            if not block:
                return
            rest, offset = text[used:], offset + used
            if too_long:
                raise DataError(f"{path}: line {_line_of(open_file, offset)} has more than {_BLOCK:,} bytes")
            block = file.read(_BLOCK)


class _Scan:
    """Search for unusual quoted cells in a piece of text that starts with a row."""

    def __init__(self, delimiter: str) -> None:
        ends = re.escape(delimiter.encode()) + rb"\r\n"
        # Text without quotes, and quoted cells in one line.
        self.usual = re.compile(rb'(?:[^"]++|(?<![^' + ends + rb'])"(?:[^"\r\n]++|"")*+"(?=[' + ends + rb"]))*+")
        self.end_of_cell = re.compile(rb" *+[" + ends + rb"]")
        self.ends = frozenset(f"{delimiter}\r\n".encode())

    def read(self, text: bytes, offset: int, last: bool) -> tuple[list[_QuotedCell], int]:
        """The unusual cells of rows that are whole, and the length of these rows.

        offset: the number of bytes of the file before the text. last: whether no text follows.
        """
        cells: list[_QuotedCell] = []
        row = place = 0
        quoted = 0  # the end of the last quoted cell: line ends before it may be its own
        while (place := self._end_of_usual(text, place)) < len(text):
            row = max(row, _row_start(text, quoted, place))
            if place and text[place - 1] not in self.ends:
                place += 1  # a quote inside a cell without quotes
                continue
            end = self._end_of_cell(text, place, last)
            line_end = None if end is None else _LINE_END.search(text, end)
            if line_end is None and not last:
                return cells, row
            after = len(text) if end is None else end
            lines = _LINE_END.split(text[row : line_end.start() if line_end else after])
            followed = end is not None and self.end_of_cell.match(text, end) is None
            cells.append(_QuotedCell(offset + place, text[place:after], lines, end is not None, followed))
            place = quoted = after
        return cells, max(row, _row_start(text, quoted, len(text)))

    def _end_of_usual(self, text: bytes, place: int) -> int:
        usual = self.usual.match(text, place)
        return place if usual is None else usual.end()

    def _end_of_cell(self, text: bytes, place: int, last: bool) -> int | None:
        """The place after the closing quote of a cell; None if it is not closed, or not certainly."""
        rest = _REST_OF_CELL.match(text, place + 1)
        return None if rest is None or (rest.end() == len(text) and not last) else rest.end()


def _row_start(text: bytes, quoted: int, place: int) -> int:
    """The start of the last line before ``place``, 0 if none starts after ``quoted``."""
    return max(text.rfind(b"\n", quoted, place), text.rfind(b"\r", quoted, place)) + 1


def _line_of(open_file: _Open, offset: int) -> int:
    """The number of the line in which a byte of the file is."""
    line, carriage = 1, False
    with open_file() as file:
        while offset > 0 and (block := file.read(min(_BLOCK, offset))):
            offset -= len(block)
            line += len(_LINE_END.findall(block)) - (carriage and block.startswith(b"\n"))
            carriage = block.endswith(b"\r")
    return line


def _is_number(cell: str) -> bool:
    stripped = cell.strip('" ')
    return stripped in MISSING or _NUMBER.fullmatch(stripped) is not None
