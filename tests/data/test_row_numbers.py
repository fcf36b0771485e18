"""Columns that only number the rows of a table are no data, in whatever file it is, unless they are asked for."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pushforward.data import load
from pushforward.data.header import read_header

N = 12
VALUES = np.random.default_rng(0).normal(size=(N, 2))
COUNT = np.arange(N, dtype=float)
FILTERED = np.array([3, 5, 6, 9, 10, 14, 15, 16, 20, 21, 30, 40], dtype=float)

Write = Callable[[Path, np.ndarray, str], Path]


def _text(path: Path, numbers: np.ndarray, name: str, delimiter: str = ",") -> Path:
    rows = [
        [name, "a", "b"],
        *([repr(int(i)), *map(repr, row)] for i, row in zip(numbers, VALUES.tolist(), strict=True)),
    ]
    text = "\n".join(delimiter.join(row) for row in rows) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def _parquet(path: Path, numbers: np.ndarray, name: str) -> Path:
    pq.write_table(pa.table({"a": VALUES[:, 0], "b": VALUES[:, 1], name: numbers.astype(np.int64)}), path)
    return path


NAMED: dict[str, Write] = {
    "a.csv": _text,
    "a.csv.gz": _text,
    "a.tsv": lambda path, numbers, name: _text(path, numbers, name, "\t"),
    "a.parquet": _parquet,
}


def _matrix(numbers: np.ndarray) -> np.ndarray:
    return np.column_stack([numbers, VALUES])


def _headerless(path: Path, matrix: np.ndarray) -> None:
    path.write_text("\n".join(",".join(map(repr, row)) for row in matrix.tolist()) + "\n")


NAMELESS: dict[str, Callable[[Path, np.ndarray], object]] = {
    "a.csv": _headerless,
    "a.npy": lambda path, matrix: np.save(path, matrix),
    "a.npz": lambda path, matrix: np.savez(path, x=matrix),
}


@pytest.mark.parametrize("start", [0, 1])
@pytest.mark.parametrize("file", NAMED)
def test_a_column_that_counts_the_rows_is_left_out_whatever_its_name(tmp_path: Path, file: str, start: int) -> None:
    data = load(str(NAMED[file](tmp_path / file, COUNT + start, "patient")))
    assert (data.columns, data.left_out) == (("a", "b"), ("patient",))
    assert np.array_equal(data.x, VALUES)


@pytest.mark.parametrize("name", ["Unnamed: 0", "__index_level_0__"])
@pytest.mark.parametrize("file", NAMED)
def test_an_index_is_known_by_its_name_where_rows_were_dropped(tmp_path: Path, file: str, name: str) -> None:
    data = load(str(NAMED[file](tmp_path / file, FILTERED, name)))
    assert (data.columns, data.left_out) == (("a", "b"), (name,))


@pytest.mark.parametrize("file", [file for file in NAMED if file != "a.parquet"])
@pytest.mark.parametrize("numbers", [COUNT, FILTERED], ids=["count", "filtered"])
def test_a_column_without_a_name_is_an_index(tmp_path: Path, file: str, numbers: np.ndarray) -> None:
    data = load(str(NAMED[file](tmp_path / file, numbers, "")))
    assert (data.columns, data.left_out) == (("a", "b"), ("x0",))


@pytest.mark.parametrize("file", NAMELESS)
def test_tables_without_names_are_counted_too(tmp_path: Path, file: str) -> None:
    NAMELESS[file](tmp_path / file, _matrix(COUNT))
    data = load(str(tmp_path / file))
    assert (data.columns, data.left_out) == (("x1", "x2"), ("x0",))
    assert np.array_equal(data.x, VALUES)
    assert read_header(str(tmp_path / file)) == (("x0", "x1", "x2"), False)


def test_the_index_that_a_parquet_file_declares_is_left_out_whatever_it_holds(tmp_path: Path) -> None:
    table = pa.table({"a": VALUES[:, 0], "when": [f"day {i // 2}" for i in range(N)]})
    for metadata, columns in (
        (b'{"index_columns": ["when"]}', ("a",)),
        (b'{"index_columns": [{"kind": "range"}], "columns": []}', None),
        (b"not JSON", None),
        (b"[" * 100_000, None),
    ):
        pq.write_table(table.replace_schema_metadata({b"pandas": metadata}), tmp_path / "a.parquet")
        if columns is None:
            assert load(str(tmp_path / "a.parquet"), columns=["a"]).columns == ("a",)
        else:
            data = load(str(tmp_path / "a.parquet"))
            assert (data.columns, data.left_out) == (columns, ("when",))


@pytest.mark.parametrize("file", NAMED)
def test_a_column_that_is_asked_for_stays(tmp_path: Path, file: str) -> None:
    path = str(NAMED[file](tmp_path / file, COUNT, "time"))
    assert load(path, columns=["time", "a"]).columns == ("time", "a")
    data = load(path, context=["time"])
    assert (data.columns, data.context_columns, data.left_out) == (("a", "b"), ("time",), ())


def test_columns_that_do_not_number_the_rows_stay(tmp_path: Path) -> None:
    few = "time,a\n" + "\n".join(f"{i},{i * i}.5" for i in range(9)) + "\n"
    for text, columns in (
        (few, ("time", "a")),  # so few rows may count by chance
        ("time\n" + "\n".join(map(str, range(20))) + "\n", ("time",)),  # nothing else is there
        (",a\n" + "\n".join(f"{i // 2},{i}.5" for i in range(20)) + "\n", ("x0", "a")),  # not distinct
        (",a\n" + "\n".join(f"{i}.25,{i}.5" for i in range(20)) + "\n", ("x0", "a")),  # not whole
        ("id,a\n" + "\n".join(f"{int(i)},{int(i)}.5" for i in FILTERED) + "\n", ("id", "a")),  # neither name nor count
    ):
        (tmp_path / "a.csv").write_text(text)
        data = load(str(tmp_path / "a.csv"))
        assert (data.columns, data.left_out) == (columns, ())


def test_the_numbers_are_those_of_the_file_and_not_of_the_rows_drawn(tmp_path: Path) -> None:
    path = str(_text(tmp_path / "a.csv", COUNT, "id"))
    assert load(path, limit=10).columns == ("a", "b")


@pytest.mark.parametrize("name", ["id", ""])
def test_a_test_file_has_the_columns_of_the_data(tmp_path: Path, name: str) -> None:
    path, test = _text(tmp_path / "a.csv", COUNT, name), _text(tmp_path / "b.csv", COUNT + N, name)
    data = load(str(path), test=str(test))
    assert (data.columns, len(data)) == (("a", "b"), 2 * N)
