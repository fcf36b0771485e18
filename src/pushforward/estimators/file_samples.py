"""Random samples of the rows of files larger than memory, or of tables, with every content that a row of the file has.

A plan that is guessed from a sample misses rare contents: a label, a gap, a value beyond a bound. Rows that the plan
rules out therefore join the sample, with the weight of one row of the file, until the plan holds for all rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow

from pushforward.array_types import Array
from pushforward.data.row_sources import RowSource
from pushforward.errors import DataError, OptionError
from pushforward.estimators.columns.arrow_types import is_number, is_time, to_numbers
from pushforward.estimators.columns.plan import ColumnPlan
from pushforward.estimators.columns.tables import Table, read_table, taken

# Rows that are read together.
_BLOCK = 1 << 14
# Cells of the rows of a file that a fit holds, of which each takes about 150 bytes, and the fewest rows.
_CELLS, _FEWEST = 24_000_000, 20_000
# In one pass over the file at most so many rows join, or a fourth of the rows of the sample.
_MOST_JOINING, _SAMPLE_ROWS_PER_JOINING = 1_000, 4

Plans = Callable[[Any], Sequence[ColumnPlan]]


def rows_in_memory(columns: int) -> int:
    """The number of rows of a file that a fit holds unless it is told another: 3,000,000 of 8 columns."""
    return max(_FEWEST, _CELLS // max(1, columns))


@dataclass(frozen=True)
class _TableRows:
    """The rows of an Arrow table."""

    table: Any
    names: tuple[str, ...]
    where: str = "the table"
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, table: Any) -> _TableRows:
        return cls(table, tuple(table.column_names))

    def batches(self, rows: int) -> Iterator[Any]:
        yield from self.table.to_batches(max_chunksize=rows)


@dataclass(frozen=True)
class FileSample:
    """Rows of a file that stand for all of its ``total`` rows.

    table: Arrow table, in the order of the file. places: ``(n,)``, the numbers of the rows. certain: ``(n,)`` bool,
    rows that were not drawn at random but taken for their content. numbering: columns that only number the rows of the
    file, and their first number.
    """

    table: Any
    places: Array
    certain: Array
    total: int
    numbering: dict[str, int] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether the sample has all rows."""
        return len(self.places) == self.total

    @property
    def weights(self) -> Array | None:
        """``(n,)``: 1 for rows drawn at random, less for those taken for their content; None if there are none."""
        drawn = int((~self.certain).sum())
        if drawn == len(self.certain) or not drawn:
            return None
        return np.where(self.certain, drawn / (self.total - (len(self.certain) - drawn)), 1.0)

    @property
    def note(self) -> str:
        """A sentence on the rows that take no part in the fit; empty if there are none."""
        unused = self.total - len(self.places)
        if not unused:
            return ""
        return (
            f"{unused:,} of {self.total:,} rows take no part in the fit, which holds {len(self.places):,} rows, drawn "
            "at random; the kinds of the columns hold for all rows"
        )

    @property
    def drawn(self) -> FileSample:
        """The rows that were drawn at random, as a table of their own."""
        return replace(self.take(np.flatnonzero(~self.certain)), total=int((~self.certain).sum()))

    def has(self, rows: Array) -> Array:
        """Whether the sample has the rows of the file with these numbers."""
        at = np.minimum(np.searchsorted(self.places, rows), len(self.places) - 1)
        return np.asarray(self.places[at] == rows)

    def take(self, chosen: Array) -> FileSample:
        """The rows at these places of the sample, in the order of the file."""
        chosen = np.sort(chosen)
        table = self.table.take(pyarrow.array(chosen))
        return replace(self, table=table, places=self.places[chosen], certain=self.certain[chosen])

    def joined(self, table: Any, places: Array) -> FileSample:
        """These rows and others that are taken for their content."""
        both = pyarrow.concat_tables([self.table, table])
        order = np.argsort(np.concatenate([self.places, places]), kind="stable")
        certain = np.concatenate([self.certain, np.ones(len(places), dtype=bool)])[order]
        every = np.concatenate([self.places, places])[order]
        return replace(self, table=both.take(pyarrow.array(order)), places=every, certain=certain)

    def counted(self) -> Any:
        """The table, in which columns that only number the rows of the file number those of the sample."""
        table = self.table
        for name, first in self.numbering.items():
            place = table.column_names.index(name)
            ranks = np.argsort(np.argsort(to_numbers(table.column(name).combine_chunks())))
            table = table.set_column(place, name, pyarrow.array(first + ranks).cast(table.schema.field(name).type))
        return table


def read_sample(source: RowSource, plans: Plans, most: int | None, seed: int) -> FileSample:
    """At most about ``most`` rows of a file with every content, by default `rows_in_memory`.

    plans: from a table to the plans of its columns, as the fit will guess them.
    """
    if most is not None and most < 1:
        raise OptionError(f"max_rows: a number of rows of 1 or above expected, got {most}")
    most = rows_in_memory(len(source.names)) if most is None else most
    sample = draw_sample(source, source.names, most, seed)
    return with_all_contents(sample, source, source.names, plans)


def limited(
    tables: Sequence[Table], weights: Array | None, plans: Plans, most: int | None, seed: int
) -> tuple[list[Table], Array | None, int, str]:
    """At most about ``most`` rows of tables side by side in memory, with every content; all rows for None.

    Returns the tables of these rows, their weights, the number of rows for which they stand, and a note on the others.
    """
    rows = tables[0].rows
    if most is None or 1 <= most >= rows:
        return list(tables), weights, rows, ""
    used = np.arange(rows) if weights is None else np.flatnonzero(weights > 0)
    tables = [taken(table, used) for table in tables]
    columns = [(name, array) for table in tables for name, array in table.columns.items()]
    source = _TableRows.of(pyarrow.table([array for _, array in columns], names=[name for name, _ in columns]))
    sample = read_sample(source, plans, most, seed)
    own = sample.weights
    if weights is not None:
        own = weights[used][sample.places] * (1.0 if own is None else own)
    some, parts, start = sample.counted(), list[Table](), 0
    for table in tables:
        names = list(table.columns)
        part = read_table(some.select(range(start, start + len(names))))
        parts.append(replace(part, origin=table.origin))
        start += len(names)
    return parts, own, rows, replace(sample, total=rows).note


def draw_sample(source: RowSource, columns: Sequence[str], most: int, seed: int) -> FileSample:
    """At most ``most`` rows of a file, drawn at random, and those with the extremes of the columns of numbers."""
    reservoir, extremes = _Reservoir(most, seed), _Extremes()
    for first, block in _blocks(source, columns):
        reservoir.add(block, first)
        extremes.add(block, first)
    if not reservoir.total:
        raise DataError(f"{source.where}: the table has no rows")
    sample = reservoir.sample()
    if not sample.complete:
        sample = extremes.beyond(sample)
    return replace(sample, numbering=extremes.numbering(sample))


def with_all_contents(sample: FileSample, source: RowSource, columns: Sequence[str], plans: Plans) -> FileSample:
    """The sample with rows of the file that its plans rule out, until the plans hold for all rows.

    plans: from a table to the plans of its columns, as the fit will guess them.
    """
    while not sample.complete:
        rows, places = _ruled_out(sample, source, columns, plans(sample.counted()))
        if not len(places):
            break
        sample = sample.joined(rows, places)
    return sample


def _ruled_out(
    sample: FileSample, source: RowSource, columns: Sequence[str], plans: Sequence[ColumnPlan]
) -> tuple[Any, Array]:
    """Rows of the file that plans rule out, and their numbers; not all of many."""
    most = max(_MOST_JOINING, len(sample.places) // _SAMPLE_ROWS_PER_JOINING)
    parts, places = [sample.table.slice(0, 0)], np.zeros(0, dtype=np.int64)
    for first, block in _blocks(source, columns):
        wrong = np.zeros(len(block), dtype=bool)
        for plan in plans:
            known = block.select([column.name for column in plan.columns])
            wrong |= plan.ruled_out(known)
        fresh = np.flatnonzero(wrong)
        fresh = fresh[~sample.has(first + fresh)]
        if len(fresh):
            parts.append(block.take(pyarrow.array(fresh)))
            places = np.concatenate([places, first + fresh])
        if len(places) >= most:
            break
    return pyarrow.concat_tables(parts), places


def _blocks(source: RowSource, columns: Sequence[str]) -> Iterator[tuple[int, Any]]:
    """Tables of the columns, and the number of the first row of each."""
    first = 0
    for batch in source.batches(_BLOCK):
        yield first, pyarrow.Table.from_batches([batch]).select(list(columns))
        first += len(batch)


class _Reservoir:
    """Rows drawn at random without replacement: those with the lowest of random keys."""

    def __init__(self, most: int, seed: int) -> None:
        self.most, self.rng, self.total = most, np.random.default_rng(seed), 0
        self._tables: list[Any] = []
        self._keys, self._places = np.zeros(0), np.zeros(0, dtype=np.int64)
        self._limit = np.inf

    def add(self, block: Any, first: int) -> None:
        """Draw among the rows of a block too."""
        keys = self.rng.random(len(block))
        low = np.flatnonzero(keys < self._limit)
        self.total += len(block)
        self._tables.append(block.take(pyarrow.array(low)))
        self._keys = np.concatenate([self._keys, keys[low]])
        self._places = np.concatenate([self._places, first + low])
        if len(self._keys) > self.most + max(_BLOCK, self.most // 8):
            self._shrink()

    def sample(self) -> FileSample:
        """The rows that are drawn."""
        self._shrink()
        return FileSample(self._tables[0], self._places, np.zeros(len(self._places), dtype=bool), self.total)

    def _shrink(self) -> None:
        table = pyarrow.concat_tables(self._tables)
        if len(self._keys) > self.most:
            lowest = np.sort(np.argpartition(self._keys, self.most)[: self.most])
            table = table.take(pyarrow.array(lowest))
            self._keys, self._places = self._keys[lowest], self._places[lowest]
            self._limit = float(self._keys.max())
        self._tables = [table.combine_chunks()]


class _Extremes:
    """The least and the largest value of each column of numbers or times, and the rows that have them."""

    def __init__(self) -> None:
        # By column, and 1 for its largest value or -1 for its least: that value times the number, a table of the row
        # that has it, and the number of that row.
        self._rows: dict[tuple[str, int], tuple[float, Any, int]] = {}
        self._total = 0

    def add(self, block: Any, first: int) -> None:
        """Take further rows into account."""
        self._total += len(block)
        for name in block.column_names:
            values = _numbers(block.column(name))
            for sign in (-1, 1):
                signed = np.where(np.isfinite(values), sign * values, -np.inf)
                row = int(signed.argmax()) if len(signed) else 0
                best = self._rows[name, sign][0] if (name, sign) in self._rows else -np.inf
                if len(signed) and signed[row] > best:
                    self._rows[name, sign] = (float(signed[row]), block.slice(row, 1).take([0]), first + row)

    def beyond(self, sample: FileSample) -> FileSample:
        """The sample with the rows that have values beyond all of its own."""
        rows = {place: row for _, row, place in self._rows.values() if not sample.has(np.array([place]))[0]}
        return sample.joined(pyarrow.concat_tables(rows.values()), np.array(list(rows))) if rows else sample

    def numbering(self, sample: FileSample) -> dict[str, int]:
        """Columns of different whole numbers without a gap between them, and the first number of each."""
        columns = {}
        for name in sample.table.column_names:
            if (name, 1) not in self._rows or not is_number(sample.table.schema.field(name).type):
                continue
            low, high = -self._rows[name, -1][0], self._rows[name, 1][0]
            values = _numbers(sample.table.column(name))
            whole = bool((values == np.floor(values)).all())
            if whole and high - low == self._total - 1 and len(np.unique(values)) == len(values):
                columns[name] = int(low)
        return columns


def _numbers(column: Any) -> Array:
    """``(N,)``: the numbers of a column, or the counts of the unit of times; no numbers for any other column."""
    known = is_number(column.type) or is_time(column.type)
    return to_numbers(column.combine_chunks()) if known else np.zeros(0)
