"""Rows of files, folders of parts and Arrow datasets, in batches."""

import warnings
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.csv
import pyarrow.dataset
import pyarrow.parquet
import pytest

from pushforward.data.row_sources import is_source, open_source
from pushforward.errors import DataError


def content(source: Any) -> dict[str, list[Any]]:
    table = pyarrow.Table.from_batches(list(open_source(source).batches(2)))
    columns: dict[str, list[Any]] = table.to_pydict()
    return columns


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.parquet", "parts"])
def test_warnings_of_the_reader_of_batches_are_not_silenced(name: str, tmp_path: Path) -> None:
    table = pyarrow.table({"x": range(5), "y": ["a", "b", "c", "d", "e"]})
    file = tmp_path / name
    if name == "parts":
        file.mkdir()
        pyarrow.parquet.write_table(table, file / "0.parquet")
    elif name.endswith("parquet"):
        pyarrow.parquet.write_table(table, file)
    else:
        with pyarrow.output_stream(str(file)) as out:  # which compresses by the ending
            pyarrow.csv.write_csv(table, out)
    before = list(warnings.filters)
    batches = open_source(file).batches(2)
    next(batches)
    assert warnings.filters == before
    with pytest.warns(UserWarning, match="of the caller"):
        warnings.warn("of the caller", UserWarning, stacklevel=1)


def test_parts_of_text_have_one_type_a_column(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("a,b\n1,2\n2,3\n")
    (tmp_path / "2.csv").write_text("a,b\n1.5,\n2,x\n")
    (tmp_path / ".3.csv").write_text("hidden\n1\n")
    assert content(tmp_path) == {"a": [1.0, 2.0, 1.5, 2.0], "b": ["2", "3", None, "x"]}


def test_folders_of_parquet_name_columns_and_widen_types(tmp_path: Path) -> None:
    for year, numbers in ((2023, [1, 2]), (2024, [1.5, 2.5])):
        (tmp_path / f"year={year}").mkdir()
        pyarrow.parquet.write_table(pyarrow.table({"a": numbers}), tmp_path / f"year={year}" / "part.parquet")
    assert content(tmp_path) == {"a": [1.0, 2.0, 1.5, 2.5], "year": [2023, 2023, 2024, 2024]}
    dataset = pyarrow.dataset.dataset(tmp_path / "year=2023")
    assert is_source(dataset)
    assert content(dataset) == {"a": [1, 2]}


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_parts_with_other_columns_are_refused(ending: str, tmp_path: Path) -> None:
    for name in ("a", "z"):
        if ending == "csv":
            (tmp_path / f"{name}.csv").write_text(f"x,{name}\n1,2\n")
        else:
            pyarrow.parquet.write_table(pyarrow.table({"x": [1], name: [2]}), tmp_path / f"{name}.parquet")
    with pytest.raises(DataError, match="a, z"):
        open_source(tmp_path)


def test_a_folder_without_parts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a folder with parts of a table expected"):
        open_source(tmp_path)
