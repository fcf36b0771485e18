import gzip
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pushforward.data import load, reading, tables
from pushforward.errors import DataError, OptionError


def _csv(tmp_path: Path, text: str | bytes, name: str = "a.csv") -> str:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


@pytest.fixture(params=["pyarrow", "csv"])
def parser(request, monkeypatch):
    """Each of the two parsers of delimited text, which must agree."""
    if request.param == "csv":
        monkeypatch.setattr(tables, "_read_fast", lambda *_: None)


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("end", ["", "\n", "\n\n\n"])
def test_delimited_text_is_read_whatever_its_delimiter_and_line_ends(tmp_path, delimiter, newline, end):
    text = "a,b,c\n1,2.5,-3e2\n4, 5 ,6\n".replace(",", delimiter).replace("\n", newline) + end
    data = load(_csv(tmp_path, text))
    assert data.columns == ("a", "b", "c")
    assert data.x.tolist() == [[1, 2.5, -300], [4, 5, 6]]
    assert data.levels is None


@pytest.mark.usefixtures("parser")
def test_text_without_header_gets_names(tmp_path):
    data = load(_csv(tmp_path, "1,2\n3,4\n"))
    assert data.columns == ("x0", "x1")
    assert data.x.tolist() == [[1, 2], [3, 4]]


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize("name", ["a.csv.gz", "a.tsv.gz", "a.csv"])
def test_gzipped_text_is_read(tmp_path, name):
    assert load(_csv(tmp_path, gzip.compress(b"a\tb\n1\t2\n"), name)).x.tolist() == [[1, 2]]


@pytest.mark.usefixtures("parser")
def test_one_column_quotes_byte_order_mark_and_blank_lines_are_read(tmp_path):
    assert load(_csv(tmp_path, "a\n1\n2\n")).x.tolist() == [[1], [2]]
    assert load(_csv(tmp_path, '\ufeff"a, b","c"\n"1","2"\n')).columns == ("a, b", "c")
    assert load(_csv(tmp_path, "\n\na,b\n\n1,2\n\n3,4\n")).x.tolist() == [[1, 2], [3, 4]]
    assert load(_csv(tmp_path, '"a\nlong name",b\n1,2\n')).x.tolist() == [[1, 2]]


def test_wide_rows_are_read(tmp_path):
    wide = ",".join(["1.2345678901234567"] * 8_000)
    assert load(_csv(tmp_path, f"{wide}\n{wide}\n")).x.shape == (2, 8_000)


def test_header_with_numbers_among_its_names_is_a_header(tmp_path):
    assert load(_csv(tmp_path, "id,1,2\n0,5,6\n")).columns == ("id", "1", "2")


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    ("text", "row", "column"),
    [
        ("a,b\n1,2\n3,x\n", r"text 'x' in row 2 \(line 3\), column 'b'", "b"),
        ("a,b\nx,y\n", r"text 'x' in row 1 \(line 2\), column 'a'", "a"),
        ("1,2,abc\n3,4,def\n", r"text 'abc' in row 1 \(line 1\), column 'x2'", "x2"),
        ("a,b\n\n1,2\n\n3,1_000\n", r"text '1_000' in row 2 \(line 5\), column 'b'", "b"),
        ("a;b\n1,5;2\n", r"text '1,5' in row 1 \(line 2\), column 'a'", "a"),
    ],
)
def test_text_in_a_numeric_column_is_named_by_row_and_column(tmp_path, text, row, column):
    with pytest.raises(DataError, match=row):
        load(_csv(tmp_path, text))


def test_text_far_down_a_large_file_is_named_by_row_and_column(tmp_path):
    rows = ["1.0,2.0"] * 200_000
    rows[150_000] = "1.0,oops"
    with pytest.raises(DataError, match=r"text 'oops' in row 150001 \(line 150002\), column 'b'"):
        load(_csv(tmp_path, "a,b\n" + "\n".join(rows)))


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n3\n", r"row 2 \(line 3\) has 1 values, but the first line has 2"),
        ("a,b\n1,2\n3,4,5\n", r"row 2 \(line 3\) has 3 values, but the first line has 2"),
        ("1,2,3\n1,2\n", r"row 2 \(line 2\) has 2 values, but the first line has 3"),
    ],
)
def test_ragged_rows_are_named(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        load(_csv(tmp_path, text))


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize("cell", ["", "NaN", "nan", "NA", "null", "?", " "])
def test_missing_values_are_named_and_counted(tmp_path, cell):
    with pytest.raises(
        DataError, match=r"missing value.* row 2 \(line 3\), column 'b'; 2 of 4 rows.*remove these rows"
    ):
        load(_csv(tmp_path, f"a,b\n1,2\n3,{cell}\n5,6\n{cell},{cell}\n"))


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize("cell", ["inf", "-inf", "1e999"])
def test_infinite_values_are_named(tmp_path, cell):
    with pytest.raises(DataError, match=r"the value -?inf in row 1 \(line 2\), column 'b'"):
        load(_csv(tmp_path, f"a,b\n1,{cell}\n"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"\n\n\n", "no rows"),
        (b"a,b\n", "no rows"),
        (b"a,a\n1,2\n", "two columns are named 'a'"),
        (b"a,b\n1,\xff\xfe\n", "UTF-8"),
        ("a,b\n1,2\n".encode("utf-16"), "UTF-8"),
        (b"," * 200_000 + b"\n", "columns, at most 100,000"),
        (b"1" * 2_000_000, "a line of more than 1,048,576 characters"),
        (b'a,b\n"' + b"1" * 200_000, "line 2: the quoted cell .* is not closed"),
        (b"\x00\x01\x02\x03" * 10, "text in UTF-8 expected"),
    ],
)
def test_text_that_is_no_table_is_one_sentence(tmp_path, content, message):
    with pytest.raises(DataError, match=message) as caught:
        load(_csv(tmp_path, content))
    assert len(str(caught.value)) < 700


def test_compressed_text_that_expands_beyond_measure_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "_ALWAYS_ALLOWED", 1 << 20)
    with gzip.open(tmp_path / "bomb.csv.gz", "wb", compresslevel=9) as file:
        for _ in range(20):
            file.write(b"1,2,3,4\n" * (1 << 17))
    with pytest.raises(DataError, match="which is implausible for data"):
        load(str(tmp_path / "bomb.csv.gz"))


def test_columns_select_and_context_takes_out(tmp_path):
    path = _csv(tmp_path, "a,b,c,kind\n1,2,3,x\n4,5,6,y\n")
    data = load(path, columns=["c", "a"], context=["b"])
    assert data.columns == ("c", "a")
    assert data.x.tolist() == [[3, 1], [6, 4]]
    assert data.context.tolist() == [[2], [5]]
    assert data.context_columns == ("b",)
    assert load(_csv(tmp_path, "a,b,c\n1,2,3\n"), context=["b"]).columns == ("a", "c")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"columns": ["lenght"]}, DataError, "'lenght', which does not exist; did you mean length"),
        ({"columns": ["0"]}, DataError, "column '0', which does not exist"),
        ({"context": ["kind"]}, DataError, "text 'x' in row 1.*column 'kind'"),
        ({"columns": ["length", "kind"]}, DataError, "text 'x' in row 1.*column 'kind'"),
        ({"columns": ["length"], "context": ["length"]}, OptionError, "'length' is chosen twice"),
        ({"columns": ["width", "width"]}, OptionError, "'width' is chosen twice"),
        ({"columns": []}, OptionError, "no column"),
        ({"context": ["length", "width", "kind"]}, OptionError, "no column"),
    ],
)
def test_columns_that_cannot_be_used_are_named(tmp_path, options, error, message):
    path = _csv(tmp_path, "length,width,kind\n1,2,x\n3,4,y\n")
    with pytest.raises(error, match=message):
        load(path, **options)


def test_a_constant_column_and_whole_numbers_are_fine(tmp_path):
    assert load(_csv(tmp_path, "a,b\n1,2\n1,3\n")).x.dtype == np.float64


def _parquet(tmp_path: Path, **columns: object) -> str:
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    return str(tmp_path / "a.parquet")


def test_parquet_numbers_of_every_type_are_read(tmp_path):
    path = _parquet(
        tmp_path,
        a=pa.array([1, 2], pa.int8()),
        b=pa.array([1.5, 2.5], pa.float32()),
        c=pa.array([True, False]),
        d=pa.array([Decimal("1.25"), Decimal("2.50")]),
        e=pa.array([2**63, 2**53 + 1], pa.uint64()),
    )
    data = load(path)
    assert data.columns == ("a", "b", "c", "d", "e")
    assert data.x.tolist() == [[1, 1.5, 1, 1.25, 2.0**63], [2, 2.5, 0, 2.5, 2.0**53]]


def test_parquet_columns_keep_the_asked_for_order(tmp_path):
    path = _parquet(tmp_path, **{"a": [1.0], "a.b": [2.0], "c": [3.0], "name": ["x"]})
    data = load(path, columns=["c", "a"], context=["a.b"])
    assert data.x.tolist() == [[3, 1]]
    assert data.context.tolist() == [[2]]


def test_parquet_text_column_is_named(tmp_path):
    with pytest.raises(DataError, match="column 'name' holds string values"):
        load(_parquet(tmp_path, a=[1.0], name=["x"]))
    with pytest.raises(DataError, match="column 'l' holds list"):
        load(_parquet(tmp_path, a=[1.0], l=[[1.0, 2.0]]))


def test_parquet_missing_value_is_named(tmp_path):
    with pytest.raises(DataError, match=r"row 2, column 'b'; 1 of 3 rows"):
        load(_parquet(tmp_path, a=[1, 2, 3], b=pa.array([1, None, 3])))


def test_parquet_without_rows_is_refused(tmp_path):
    with pytest.raises(DataError, match="no rows"):
        load(_parquet(tmp_path, a=pa.array([], pa.float64())))


def test_parquet_that_expands_beyond_measure_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "_ALWAYS_ALLOWED", 1 << 20)
    path = _parquet(tmp_path, **{name: np.zeros(100_000) for name in "abcdefg"})
    with pytest.raises(DataError, match="declare 100,000 rows"):
        load(path)
    assert load(path, columns=["a"]).x.shape == (100_000, 1)


def test_parquet_in_blocks_is_never_held_whole(tmp_path):
    """Neither by this package nor by pyarrow, which keeps what it reads ahead."""
    column = np.random.default_rng(0).normal(size=1_500_000)
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": column, "b": column}), path, row_group_size=100_000, use_dictionary=False)
    allocated, rows, before = [], 0, pa.total_allocated_bytes()
    for matrix in tables.parquet_blocks(path, None, None).matrices:
        allocated.append(pa.total_allocated_bytes() - before)
        rows += len(matrix)
    assert rows == len(column)
    assert max(allocated) < 12 << 20 < path.stat().st_size / 1.5
