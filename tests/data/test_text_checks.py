"""Quoted cells that hide rows of delimited text are refused; legal ones over several lines are read."""

import csv
import gzip
import io
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushforward.data import load, text_checks
from pushforward.data.arrow_tables import read_arrow
from pushforward.data.text_checks import MISSING, RowForm, number_columns, require_closed_quotes
from pushforward.errors import DataError

ROWS = [f"{i},{i / 7:.3f},{word}" for i, word in enumerate(["red", "green", "blue"] * 20)]
HEADER = "a,b,c"


def text(*changes: tuple[int, str]) -> str:
    """A table of 60 rows, in which some rows are others."""
    rows = [*ROWS]
    for place, row in changes:
        rows[place] = row
    return "\n".join([HEADER, *rows]) + "\n"


def written(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    content = content.replace(",", "\t") if ".tsv" in name else content
    path.write_bytes(gzip.compress(content.encode()) if name.endswith(".gz") else content.encode())
    return path


UNCLOSED = [
    (text((40, '40,1,"red')), "line 42: the quoted cell that starts with '\"red' is not closed"),
    (text((59, '59,1,"red')), "line 61: .* is not closed"),
    (text((59, '59,1,"red'))[:-1], "line 61: .* is not closed"),
    (text((40, '"40,1,red')), "line 42: .* is not closed"),
    ('a,b,"c\n' + "\n".join(ROWS), "line 1: .* is not closed"),
    (text((20, '20,1,"red'), (40, '40,1,"red')), "line 22: .* runs to line 42 and hides rows"),
    (text((20, '20,1,"red'), (21, '21,1,"green"')), "line 22: .* runs to line 23"),
    (text((20, '20,1,"red'), (40, '40,1,blue"')), "line 22: .* runs to line 42"),
    (text((1, '1,1,"red'), (3, '3,1,blue"')), "line 3: .* runs to line 5"),
    ("\n\n" + text((2, '2,1,"x\ny"'), (40, '40,1,"red')), "line 45: .* is not closed"),
]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.csv.gz"])
@pytest.mark.parametrize(("content", "message"), UNCLOSED)
def test_quoted_cells_that_hide_rows_are_refused(content: str, message: str, name: str, tmp_path: Path) -> None:
    path = written(tmp_path, name, content)
    message = message if "tsv" not in name else message.replace(",", "\t")
    with pytest.raises(DataError, match=message):
        read_arrow(path)
    with pytest.raises(DataError, match=message):
        load(str(path), columns=("a", "b"))


def test_an_unclosed_cell_longer_than_a_block_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_checks, "_BLOCK", 100)
    with pytest.raises(DataError, match=r"line 7: .* is not closed"):
        read_arrow(written(tmp_path, "a.csv", text((5, '5,1,"red'))))


@pytest.mark.parametrize(
    ("rows", "cells"),
    [
        (['1,"Dear Sir,\nthanks, Bob"', "2,x"], ["Dear Sir,\nthanks, Bob", "x"]),
        (['1,"1\n2\n3"', "2,x"], ["1\n2\n3", "x"]),
        (['1,"a ""b""\n"', '2,"""q"""'], ['a "b"', '"q"']),
        (['1,5" pipe', '2,"x" ', '3,""'], ['5" pipe', "x", None]),
    ],
)
def test_legal_quotes_are_read(rows: list[str], cells: list[str | None], tmp_path: Path) -> None:
    content = read_arrow(written(tmp_path, "a.csv", "\n".join(["id,text", *rows]) + "\n"))
    assert content.table.column("text").to_pylist() == cells
    assert not content.notes


def test_text_after_a_closing_quote_is_said(tmp_path: Path) -> None:
    content = read_arrow(written(tmp_path, "a.csv", text((4, '4,1,"12" pipe"'))))
    assert content.notes == (
        "line 6: the quoted cell that starts with '\"12\"' has text after its closing quote; inside a quoted cell, "
        "write each quote twice",
    )


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_other_encodings_are_named(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(text().encode(encoding))
    with pytest.raises(DataError, match="it is in UTF-16 or UTF-32; save the file as UTF-8"):
        read_arrow(tmp_path / "a.csv")


def test_bytes_of_zero_are_refused_with_their_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 6 holds a NUL byte"):
        read_arrow(written(tmp_path, "a.csv", text((4, "4,1,re\0d"))))


def test_a_letter_of_another_encoding_is_refused_with_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = "a,b\n" + "1,é\n" * 5000 + "1,gr"
    (tmp_path / "a.csv").write_bytes(content.encode() + b"\xfcn\n")
    with pytest.raises(DataError, match=r"UTF-8 expected, but line 5002 holds b'.xfc'; save the file as UTF-8"):
        read_arrow(tmp_path / "a.csv")
    monkeypatch.setattr(text_checks, "_BLOCK", 7)
    with pytest.raises(DataError, match="line 5002 holds"):
        text_checks.require_utf_8(tmp_path / "a.csv", lambda: (tmp_path / "a.csv").open("rb"))


CELLS = st.text('ab,"\n\r 1', max_size=6)


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=6), st.sampled_from(["\n", "\r\n", "\r"]))
def test_text_that_csv_writes_is_legal_in_blocks_of_any_size(rows: list[tuple[str, ...]], line_end: str) -> None:
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator=line_end).writerows(rows)
    content = file.getvalue().encode()
    for block in (60, 1 << 20):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(text_checks, "_BLOCK", block)
            assert not require_closed_quotes(Path("a"), lambda: io.BufferedReader(io.BytesIO(content)), RowForm(",", 3))


def test_columns_of_numbers_hold_numbers_in_any_notation() -> None:
    rows = [["1", "x", "1,5", "2020-01-02 10:00", ""], ["-2e3", "1", "NA", "3.4.2021", ""], ["7"]]
    assert number_columns(rows) == (0, 2, 3)


def test_a_long_cell_of_digits_and_letters_is_looked_at_once() -> None:
    assert not text_checks._is_number("1" * 100_000 + "x")
    assert text_checks._is_number("-1,234.5e+07")
    assert not text_checks._is_number("e5")


def test_the_page_of_the_commands_lists_the_words_that_are_gaps() -> None:
    page = (Path(__file__).parents[2] / "docs" / "commands.md").read_text()
    listed = page[page.index("Empty cells are gaps") :].split(";")[0]
    assert set(re.findall("`(.+?)`", listed)) == set(MISSING) - {""}
