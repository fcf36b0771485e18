"""Tables in files as Arrow tables: the same types from text and Parquet, and batches of bounded size."""

import gzip
import re
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from pushforward.data.arrow_tables import batches, read_arrow
from pushforward.errors import DataError

CONTENT = {
    "whole": pyarrow.array([1, 2, None]),
    "real": pyarrow.array([0.5, None, -1e300]),
    "flag": pyarrow.array([True, False, None]),
    "word": pyarrow.array(["a", None, 'say "b",\nor c']),
    "day": pyarrow.array(["2020-01-01", "2020-01-02", None]),
    "zip": pyarrow.array(["01010", "8010", "05020"]),
    "none": pyarrow.nulls(3),
}
TEXT = """whole,real,flag,word,day,zip,none
1,0.5,True,a,2020-01-01,01010,
2,NA,false,NaN,2020-01-02,8010,?
,-1e300,,"say ""b"",
or c",,05020,null
"""


def written(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_text_and_parquet_have_the_same_content(tmp_path: Path) -> None:
    expected = pyarrow.table(CONTENT)
    pyarrow.parquet.write_table(expected, tmp_path / "a.parquet")
    for path in (
        tmp_path / "a.parquet",
        written(tmp_path, "a.csv", TEXT),
        written(tmp_path, "b.csv.gz", gzip.compress(TEXT.encode())),
        written(tmp_path, "c.csv", "\ufeff" + TEXT.replace("\n", "\r\n").replace(",\r\n", ",\n")),
    ):
        content = read_arrow(path)
        assert content.table.equals(expected), path
        assert not [note for note in content.notes if "zip" not in note]


def test_matrices_have_numbered_columns(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(6.0).reshape(3, 2))
    assert read_arrow(tmp_path / "a.npy").table.to_pydict() == {"x0": [0.0, 2.0, 4.0], "x1": [1.0, 3.0, 5.0]}


@pytest.mark.parametrize("ending", ["csv", "parquet", "npy"])
def test_batches_are_the_table_in_parts(ending: str, tmp_path: Path) -> None:
    table = pyarrow.table({"x0": np.arange(25.0), "x1": np.arange(25.0) / 2})
    path = tmp_path / f"a.{ending}"
    if ending == "csv":
        rows = "".join(f"{a},{b}\n" for a, b in zip(*table.to_pydict().values(), strict=True))
        path.write_text("x0,x1\n" + rows)
    elif ending == "parquet":
        pyarrow.parquet.write_table(table, path)
    else:
        np.save(path, np.stack([column.to_numpy() for column in table.columns], 1))
    parts = list(batches(path, rows=10))
    assert [len(part) for part in parts] == [10, 10, 5]
    assert pyarrow.Table.from_batches(parts).equals(table)


def test_the_types_are_those_of_the_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pushforward.data.arrow_tables._BLOCK", 200)
    path = written(tmp_path, "a.csv", "x,y\n" + "1,2\n" * 200 + "1.5,2\n" + "1,oops\n")
    content = read_arrow(path)
    assert [str(kind) for kind in content.table.schema.types] == ["double", "string"]
    assert content.notes == ("column 'y' is read as text, because of 'oops' in row 202; 201 of its cells are numbers",)


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("1.5,oops\n2,3\n", "the first row is taken for the header, although 1.5 is a number.*correct 'oops' in it"),
        (",a\n1,2\n2,3\n", "the header has no name for 1 of the columns, here called x0"),
        ("2019,2020\n5,6\n", "the first row, 2019, 2020, is taken for data; if it is a header"),
        ("a|b\n5|6\n", "the file has one column; if it has several, separate the cells by commas, semicolons or tabs"),
        ("a b\n5 6\n", "the file has one column"),
    ],
)
def test_doubtful_headers_are_said(text: str, note: str, tmp_path: Path) -> None:
    (said,) = read_arrow(written(tmp_path, "a.csv", text)).notes
    assert re.search(note, said)


def test_the_index_of_pandas_is_left_out(tmp_path: Path) -> None:
    table = pyarrow.table({"x": [1.0, 2.0], "__index_level_0__": [7, 9]})
    table = table.replace_schema_metadata({"pandas": '{"index_columns": ["__index_level_0__"]}'})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    content = read_arrow(tmp_path / "a.parquet")
    assert content.table.column_names == ["x"]
    assert content.notes == ("the index of pandas, __index_level_0__, is left out",)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", 'x,y\n1,"2\n"\n\n3\n', r"number of cells is 1 in row 2 \(line 5\), '3', but 2 in the first line"),
        ("a.csv", "x,x\n1,2\n", "two columns are named 'x'"),
        ("a.csv", b"x,y\n1,\xff\n", "UTF-?8"),
        ("a.csv", "", "empty"),
        ("a.csv", "x,y\n", "no rows"),
        ("a.parquet", "nothing", "Parquet"),
        ("a.csv.gz", b"\x1f\x8bnothing", "delimited text"),
        ("a.npy", "nothing", "npy"),
        ("a.txt", "1,2\n", "a table expected, in a file ending in"),
    ],
)
def test_files_that_are_no_table(name: str, content: str | bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read_arrow(written(tmp_path, name, content))
