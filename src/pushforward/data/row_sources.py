"""Tables larger than memory, read in batches as often as wanted: a file, a folder of parts, or an Arrow dataset."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from pushforward.data.arrow_tables import ENDINGS, TableFile, open_table
from pushforward.data.reading import foreign, foreign_items
from pushforward.data.tables import index_columns
from pushforward.errors import DataError


class RowSource(Protocol):
    """Rows of named columns that are read in batches, as often as wanted.

    where: the file, the folder or the dataset, for messages. notes: sentences about how the rows are read that the user
    should know.
    """

    @property
    def where(self) -> str:
        """The place of the rows, for messages."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about how the rows are read."""
        ...

    def batches(self, rows: int) -> Iterator[Any]:
        """Record batches of at most ``rows`` rows, of one schema, in an order that is always the same."""
        ...


def is_source(table: Any) -> bool:
    """Whether ``table`` is the path of a file or folder, or an Arrow dataset."""
    return isinstance(table, (str, os.PathLike)) or _is_dataset(table)


def holds_parts(path: Path) -> bool:
    """Whether a folder holds the parts of a table, in files or in subfolders such as ``year=2024``."""
    if not os.path.isdir(path):  # False, where Path.is_dir raises, of a name that is too long
        return False
    return any(p.name.lower().endswith(ENDINGS) if p.is_file() else "=" in p.name for p in path.iterdir())


def open_source(source: Any) -> RowSource:
    """The rows of the file or folder at a path, or of an Arrow dataset.

    A folder has parts with the same columns: .parquet, also in subfolders such as ``year=2024`` that name a column and
    its value, or .csv, .tsv or .npy. Raises DataError for anything that cannot be read.
    """
    if _is_dataset(source):
        return _DatasetRows.of("the dataset", source)
    path = Path(source).expanduser()
    return _folder(path) if os.path.isdir(path) else open_table(path)


def _is_dataset(table: Any) -> bool:
    # Without importing what the caller has not.
    return type(table).__module__ == "pyarrow._dataset"


def _folder(path: Path) -> RowSource:
    parts = (p for p in path.rglob("*") if p.is_file() and p.name.lower().endswith(ENDINGS))
    files = sorted(p for p in parts if not p.name.startswith((".", "_")))
    if not files:
        raise DataError(f"{path}: a folder with parts of a table expected, in files ending in {', '.join(ENDINGS)}")
    if all(file.name.lower().endswith(".parquet") for file in files):
        with foreign(path, "a folder of Parquet files"):
            return _DatasetRows.of(str(path), _parquet_parts(path, files))
    return _Parts.of(str(path), files)


def _parquet_parts(folder: Path, files: list[Path]) -> Any:
    """The dataset of Parquet files with the same columns, whose numbers may be of several types."""
    import pyarrow
    import pyarrow.dataset

    def dataset(schema: Any) -> Any:
        return pyarrow.dataset.dataset(
            [str(file) for file in files],
            schema=schema,
            format="parquet",
            partitioning="hive",
            partition_base_dir=str(folder),
        )

    of_first = dataset(None)
    parts = [part.physical_schema for part in of_first.get_fragments()]
    for file, schema in zip(files, parts, strict=True):
        if sorted(schema.names) != sorted(parts[0].names):
            raise DataError(_other_columns(file, schema.names, files[0], parts[0].names))
    return dataset(pyarrow.unify_schemas([of_first.schema, *parts], promote_options="permissive"))


def _other_columns(path: object, names: Any, first: object, expected: Any) -> str:
    differing = sorted(set(names) ^ set(expected))
    return f"{path}: the columns of {first} expected, but {', '.join(differing[:5])} is in one of them only"


@dataclass(frozen=True)
class _DatasetRows:
    """The rows of an Arrow dataset."""

    where: str
    dataset: Any
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, where: str, dataset: Any) -> _DatasetRows:
        index = index_columns(dataset.schema)
        names = tuple(name for i, name in enumerate(dataset.schema.names) if i not in index)
        left_out = ", ".join(dataset.schema.names[i] for i in sorted(index))
        return cls(where, dataset, names, (f"the index of pandas, {left_out}, is left out",) if index else ())

    def batches(self, rows: int) -> Iterator[Any]:
        form = "an Arrow dataset"
        with foreign(self.where, form):
            # Read ahead, batches would wait in memory.
            batches = self.dataset.to_batches(
                columns=list(self.names), batch_size=rows, batch_readahead=0, fragment_readahead=1, use_threads=False
            )
        yield from foreign_items(batches, self.where, form)


@dataclass(frozen=True)
class _Parts:
    """The rows of several files with the same columns, one file after the other."""

    where: str
    files: tuple[TableFile, ...]
    types: Mapping[str, Any]

    @classmethod
    def of(cls, where: str, paths: list[Path]) -> _Parts:
        files = tuple(open_table(path) for path in paths)
        for file in files:
            if file.names != files[0].names:
                raise DataError(_other_columns(file.path, file.names, files[0].path, files[0].names))
        types = {name: _common_type([file.types[name] for file in files]) for name in files[0].names}
        return cls(where, tuple(file if file.layout is None else replace(file, types=types) for file in files), types)

    @property
    def names(self) -> tuple[str, ...]:
        return self.files[0].names

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(note for file in self.files for note in file.notes))

    def batches(self, rows: int) -> Iterator[Any]:
        import pyarrow

        schema = pyarrow.schema(list(self.types.items()))
        for file in self.files:
            for batch in file.batches(rows):
                yield batch.cast(schema)


def _common_type(types: Sequence[Any]) -> Any:
    """The type of a column whose parts have several: that of all numbers, or text."""
    import pyarrow

    try:
        schemas = [pyarrow.schema([("", arrow)]) for arrow in types]
        return pyarrow.unify_schemas(schemas, promote_options="permissive").field("").type
    except (pyarrow.ArrowTypeError, pyarrow.ArrowInvalid):
        return pyarrow.string()
