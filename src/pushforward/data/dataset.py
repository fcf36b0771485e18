"""The data set that every reader returns: an array of images or a table, with its metadata."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from pushforward.errors import DataError, OptionError


@dataclass(frozen=True, eq=False)
class DataSet:
    """Images or a table, checked: every value finite, every row of the same shape.

    Attributes: name: the name of the data set, or the file's name. kind: "image" or "table". x: images `(N, C, H, W)`
    uint8; tables `(N, D)` float64. levels: images: number of integer levels, values are 0 .. levels - 1; tables: None.
    columns: tables: the D column names; images: None. context: `(N, K)` float64, the columns to condition on, which are
    not in `x`. context_columns: their K names. labels: `(N,)` int64 class labels, if the publisher gives them.
    test_rows: indices of the published test part, if there is one. numbers: `(N,)` the number of each row in its file,
    from 0, unless these are all rows in order. left_out: names of columns that only number the rows and are therefore
    excluded. booleans: names of columns of truth values, which are read as 0 and 1. source: the origin of the data.

    Raises: DataError: if the shapes of the parts do not match.

    >>> import numpy as np
    >>> from pushforward import data
    >>> data.load("two-moons", limit=100).take(np.arange(10)).x.shape
    (10, 2)
    """

    name: str
    kind: Literal["image", "table"]
    x: np.ndarray
    levels: int | None
    columns: tuple[str, ...] | None
    context: np.ndarray | None = None
    context_columns: tuple[str, ...] | None = None
    labels: np.ndarray | None = None
    test_rows: np.ndarray | None = None
    numbers: np.ndarray | None = None
    left_out: tuple[str, ...] = ()
    booleans: tuple[str, ...] = ()
    source: str = ""

    def __post_init__(self) -> None:
        if self.kind == "image":
            self._require(self.x.ndim == 4 and self.x.dtype == np.uint8, "images are (N, C, H, W) uint8", self.x)
            if self.levels is None:
                raise DataError(f"{self.name}: images need a number of levels")
        else:
            self._require(self.x.ndim == 2 and self.x.dtype == np.float64, "tables are (N, D) float64", self.x)
            if self.columns is None or len(self.columns) != self.x.shape[1]:
                raise DataError(f"{self.name}: {self.x.shape[1]} column names expected, got {self.columns}")
        for what, part in (("context", self.context), ("labels", self.labels)):
            if part is not None and len(part) != len(self.x):
                raise DataError(f"{self.name}: {len(self.x)} rows of {what} expected, got {len(part)}")

    def _require(self, fits: bool, expected: str, got: np.ndarray) -> None:
        if not fits:
            raise DataError(f"{self.name}: {expected}, got shape {got.shape} of {got.dtype}")

    def __len__(self) -> int:
        return len(self.x)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one row: `(C, H, W)` or `(D,)`."""
        return tuple(self.x.shape[1:])

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over dtype, shape and bytes of `x` and of `context`, in hex: equal data, equal fingerprint."""
        digest = Fingerprint()
        for part in (self.x, self.context):
            if part is None:
                digest.begin_none()
            else:
                digest.begin(part.dtype, part.shape)
                digest.add(part)
        return digest.hex()

    def take(self, rows: np.ndarray | Sequence[int]) -> "DataSet":
        """The given rows, in the given order. Rows of a published test part stay marked.

        Raises:
            DataError: if a row is outside 0 .. N - 1.
        """
        index = np.asarray(rows, dtype=np.int64).reshape(-1)
        if index.size and (index.min() < 0 or index.max() >= len(self)):
            raise DataError(f"{self.name}: rows 0 to {len(self) - 1} expected, got {index.min()} to {index.max()}")
        test_rows = None
        if self.test_rows is not None:
            test_rows = np.flatnonzero(np.isin(index, self.test_rows))
        return replace(
            self,
            x=self.x[index],
            context=None if self.context is None else self.context[index],
            labels=None if self.labels is None else self.labels[index],
            test_rows=test_rows if test_rows is not None and test_rows.size else None,
            numbers=self.row_numbers[index],
        )

    @property
    def row_numbers(self) -> np.ndarray:
        """The number of each row in its file, from 0."""
        return np.arange(len(self)) if self.numbers is None else self.numbers

    def where(self, row: int) -> str:
        """The place of a row, for messages, counted from 1 like lines."""
        of_test = self.kind == "table" and self.test_rows is not None and row in self.test_rows
        return f"{self.name}: {'test ' if of_test else ''}row {self.row_numbers[row] + 1:,}"

    def with_levels(self, levels: int) -> "DataSet":
        """The same images with `levels` levels, for data whose largest value is below the largest level.

        Raises: DataError: for a table, or if a value is too large.
        """
        if self.kind != "image":
            raise DataError(f"{self.name}: a table has no levels, {levels} were expected")
        largest = int(self.x.max()) if self.x.size else 0
        if largest >= levels:
            raise DataError(f"{self.name}: values 0 to {levels - 1} ({levels} levels) expected, got {largest}")
        return replace(self, levels=levels)


class Fingerprint:
    """The digest of a data set whose rows need not all be in memory: each part is begun, and then its rows added."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def begin_none(self) -> None:
        """A part that the data set does not have."""
        self._digest.update(b"none;")

    def begin(self, dtype: np.dtype, shape: tuple[int, ...]) -> None:
        """A part of this shape, the rows of which follow."""
        # Explicit little-endian order gives the same fingerprint on every machine.
        self._digest.update(f"{dtype.newbyteorder('<').str}{tuple(shape)};".encode())

    def add(self, rows: np.ndarray) -> None:
        """The next rows of the part."""
        ordered = np.ascontiguousarray(rows, dtype=rows.dtype.newbyteorder("<"))
        self._digest.update(ordered.reshape(-1).view(np.uint8).data)

    def hex(self) -> str:
        return self._digest.hexdigest()


def detect_levels(largest: int) -> int:
    """The number of levels of images whose largest value is `largest`: the smallest of 2, 17, 32 and 256 that suffices.

    17 is chosen only when the largest value is exactly 16, as in scikit-learn's digits; other values from 2 to 31 count
    as 5-bit data.
    """
    if largest <= 1:
        return 2
    if largest == 16:
        return 17
    return 32 if largest < 32 else 256


def image_set(
    name: str,
    x: np.ndarray,
    *,
    levels: int | None = None,
    labels: np.ndarray | None = None,
    test_rows: np.ndarray | None = None,
    source: str = "",
) -> DataSet:
    """Images `(N, C, H, W)` uint8 as a data set; `levels` are detected if they are not given."""
    if x.size == 0:
        raise DataError(f"{name}: the data have no images (shape {x.shape})")
    return DataSet(
        name=name,
        kind="image",
        x=x,
        levels=detect_levels(int(x.max())) if levels is None else levels,
        columns=None,
        labels=None if labels is None else labels.astype(np.int64),
        test_rows=test_rows if test_rows is not None and test_rows.size else None,
        source=source,
    )


def table_set(
    name: str,
    x: np.ndarray,
    columns: Sequence[str],
    *,
    context: np.ndarray | None = None,
    context_columns: Sequence[str] | None = None,
    left_out: Sequence[str] = (),
    booleans: Sequence[str] = (),
    source: str = "",
) -> DataSet:
    """A finite table `(N, D)` as a data set."""
    if x.size == 0:
        raise DataError(f"{name}: the table has no values (shape {x.shape})")
    return DataSet(
        name=name,
        kind="table",
        x=x,
        levels=None,
        columns=tuple(columns),
        context=context,
        context_columns=None if context_columns is None else tuple(context_columns),
        left_out=tuple(left_out),
        booleans=tuple(booleans),
        source=source,
    )


def subset(rows: int, limit: int | None, seed: int) -> np.ndarray | None:
    """A random subset of `limit` rows without replacement, in the data's order; None keeps all rows.

    The subset is random, because files are often sorted (by class, by time) and end with the test part.

    Raises:
        OptionError: if `limit` is not positive.
    """
    if limit is None:
        return None
    if limit < 1:
        raise OptionError(f"limit: a positive number of rows expected, got {limit}")
    if limit >= rows:
        return None
    return np.sort(np.random.default_rng(seed).permutation(rows)[:limit])
