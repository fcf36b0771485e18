"""The plan of a table's columns: how each is encoded for a model, and given back in samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, Self

import numpy as np
import torch
from pydantic import Field, ValidationError, field_validator
from torch import Tensor

from pushforward.array_types import Array
from pushforward.error_messages import first_problem
from pushforward.errors import DataError, ModelError, OptionError
from pushforward.estimators.columns.arrow_types import first_of_each, to_numbers
from pushforward.estimators.columns.column import Column, LeftOutColumn, ModelledColumn
from pushforward.estimators.columns.guess import guess_column
from pushforward.estimators.columns.hints import Hint, parse_hints
from pushforward.estimators.columns.kinds import Cells
from pushforward.estimators.columns.left_out import Copy, RowNumber, Weight
from pushforward.estimators.columns.relations import find_copies
from pushforward.estimators.columns.standard import Strict
from pushforward.estimators.columns.tables import Origin, Table, give_back, read_table
from pushforward.estimators.encoded import UNKNOWN, ColumnShape, EncodedRows

_SHOWN_PROBLEMS = 20
_AS_FITTED = "as fitted"


class Problem(NamedTuple):
    """A cell of density zero: its column, row and value, and a sentence about it."""

    column: str
    row: int
    value: Any
    sentence: str


class ColumnPlan(Strict):
    """How the columns of a table are modelled: a kind for each, guessed from the data or given.

    rows: the number of rows that it was guessed from. origin: the form of the table, for `decode`.

    >>> import numpy as np
    >>> prices = np.exp(np.random.default_rng(0).normal(size=500))
    >>> plan = ColumnPlan.guess({"price": prices, "sold": [True, False] * 250})
    >>> plan.names, plan.shapes
    (('price', 'sold'), (ColumnShape(states=1, value=True), ColumnShape(states=2, value=False)))
    >>> rows = plan.encode({"price": [2.0], "sold": [False]})
    >>> {name: column.tolist() for name, column in plan.decode(rows).items()}
    {'price': [2.0], 'sold': [False]}
    """

    format: Literal[1] = 1
    rows: Annotated[int, Field(ge=0)]
    origin: Origin = Origin()
    columns: Annotated[
        tuple[Annotated[ModelledColumn | LeftOutColumn, Field(discriminator="modelled")], ...],
        Field(min_length=1, max_length=100_000),
    ]

    @field_validator("columns")
    @classmethod
    def _consistent(cls, columns: tuple[Column, ...]) -> tuple[Column, ...]:
        names = [column.name for column in columns]
        if len(set(names)) < len(names):
            raise OptionError("every column needs a name of its own")
        modelled = {column.name for column in columns if column.modelled}
        for column in columns:
            if isinstance(column.kind, Copy) and not modelled.issuperset(column.kind.of):
                raise OptionError(f"column {column.name!r} copies a column that is not modelled")
        return columns

    @classmethod
    def guess(
        cls,
        table: Any,
        kinds: Mapping[str, str] | None = None,
        *,
        names: Sequence[str] | None = None,
        scored: bool = True,
    ) -> ColumnPlan:
        """The plan for a table: a DataFrame, a mapping of arrays, an array ``(N, D)`` or rows.

        kinds: hints by column, such as ``{"angle": "period:0:360", "income": "positive", "w": "weight"}``.
        names: of the columns of an array. scored: whether the columns get a density; those that a regressor predicts
        from get none, so that a repeated value needs no probability of its own.

        Raises DataError for a table or column that cannot be used, OptionError for a hint.
        """
        content = read_table(table, names)
        if not content.rows:
            raise DataError("the table has no rows")
        hints = parse_hints(kinds, list(content.columns))
        columns = _guess_all(content, hints, scored)
        return cls(rows=content.rows, origin=content.origin, columns=columns)

    def require_columns(self) -> Self:
        """The plan itself. Raises DataError if no column is left for a density."""
        if self.names:
            return self
        if self.rows == 1:
            raise DataError("the table has 1 sample, which shows no distribution; more rows are needed")
        shown = ", ".join(f"{column.name!r} ({column.kind.label})" for column in self.left_out[:5])
        more = f" and {len(self.left_out) - 5} more" if len(self.left_out) > 5 else ""
        why = f" ({self.remarks[0]})" if self.remarks else ""
        raise DataError(f"no column is left for a density, all are left out: {shown}{more}; give one a kind{why}")

    @property
    def modelled(self) -> tuple[ModelledColumn, ...]:
        """The columns of the density."""
        return tuple(column for column in self.columns if column.modelled)

    @property
    def left_out(self) -> tuple[LeftOutColumn, ...]:
        """The other columns."""
        return tuple(column for column in self.columns if not column.modelled)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns of the density."""
        return tuple(column.name for column in self.modelled)

    @property
    def shapes(self) -> tuple[ColumnShape, ...]:
        """The states of the columns of the density."""
        return tuple(column.shape for column in self.modelled)

    @property
    def words(self) -> dict[str, tuple[str, ...]]:
        """The labels of the columns of the density that hold text of few labels, by name."""
        return {column.name: column.kind.words for column in self.modelled if column.kind.words}

    @property
    def dequantised(self) -> int:
        """The number of columns that noise makes continuous."""
        return sum(column.kind.noisy for column in self.modelled)

    @property
    def middles(self) -> list[float]:
        """The ``places`` of `encode` that put each dequantised value in the middle of its cell."""
        return [0.5] * self.dequantised

    def encode(
        self,
        table: Any,
        *,
        generator: torch.Generator | None = None,
        places: Sequence[float] | None = None,
        partial: bool = False,
    ) -> EncodedRows:
        """The rows of a table as states and values.

        generator: of the noise that makes integers and dates continuous. places: instead of noise, a place from 0 to 1
        within its cell for each `dequantised` column. partial: columns that the table lacks, and
        gaps where training had none, are unknown; otherwise the first is an error, the second has density zero.
        Columns that the plan does not know are ignored.

        Raises DataError for a column that is missing or has values of another type.
        """
        content = self._read(table, partial)
        count = content.rows
        if places is None:
            noise = torch.rand(self.dequantised, count, dtype=torch.float64, generator=generator)
        else:
            noise = torch.tensor(places, dtype=torch.float64)[:, None].expand(-1, count)
        drawn = iter(noise.numpy())
        still = np.full(count, 0.5)
        cells = []
        for column in self.modelled:
            own = next(drawn) if column.kind.noisy else still
            cells.append(_encode(column, content, own, partial))
        possible = np.ones(count, dtype=bool)
        for part in cells:
            possible &= part.possible
        if not partial:
            for left_out in self.left_out:
                possible &= ~_contradicted(left_out, content)
        return _stacked(cells, possible)

    def _read(self, table: Any, partial: bool) -> Table:
        content = read_table(table, [column.name for column in self.columns] if self._unnamed(table) else None)
        absent = [name for name in self.names if name not in content.columns]
        if absent and not partial:
            shown = ", ".join(absent[:10]) + (f" and {len(absent) - 10} more" if len(absent) > 10 else "")
            has = ", ".join(list(content.columns)[:10])
            raise DataError(f"the table lacks the columns {shown}; it has {has}")
        return content

    def _unnamed(self, table: Any) -> bool:
        """Whether a table is an array that has all columns by place."""
        return isinstance(table, np.ndarray) and table.ndim == 2 and table.shape[1] == len(self.columns)

    def problems(self, table: Any, limit: int = _SHOWN_PROBLEMS, *, repeated: bool = True) -> list[Problem]:
        """The first ``limit`` cells that make their rows impossible, column by column.

        repeated: whether cells of a column with the same value are problems each, or the first of them alone.
        """
        content = self._read(table, partial=False)
        problems: list[Problem] = []
        for column in self.columns:
            if column.name not in content.columns or len(problems) >= limit:
                continue
            bad, values = np.flatnonzero(_impossible(column, content)), content.columns[column.name]
            if not repeated:
                bad = first_of_each(values, bad)
            for row in bad[: limit - len(problems)].tolist():
                value = _plain(values[row])
                number = content.first + row
                problems.append(Problem(column.name, number, value, _sentence(column, number, value)))
        return problems

    def unusual(self, table: Any) -> Array:
        """``(N,)``: the rows of a table with an impossible cell, or a number far from those of all training rows."""
        rows = self.encode(table, places=self.middles, partial=True)
        result, states, values = rows.impossible.numpy(), rows.states.numpy(), rows.values.numpy()
        for place, column in enumerate(self.modelled):
            result = result | column.far(states[:, place], values[:, place])
        return result

    def reaching(self, rows: EncodedRows) -> ColumnPlan:
        """The plan whose training rows are these encoded ones too."""
        states, values = rows.states.numpy(), rows.values.numpy()
        wider = {
            column.name: column.reaching(states[:, place], values[:, place])
            for place, column in enumerate(self.modelled)
        }
        return self.model_copy(update={"columns": tuple(wider.get(each.name, each) for each in self.columns)})

    def ruled_out(self, table: Any) -> Array:
        """``(N,)``: the rows of a table with a cell that the plan rules out, or that its column cannot be read from."""
        content = self._read(table, partial=False)
        rows = np.zeros(content.rows, dtype=bool)
        for column in self.columns:
            rows |= _impossible_or_unreadable(column, content)
        return rows

    @property
    def remarks(self) -> list[str]:
        """A sentence about each column with content that may be a mistake."""
        return [f"column {column.name!r}: {column.remark}" for column in self.columns if column.remark]

    @property
    def weight_column(self) -> str | None:
        """The name of the column of weights, None without one."""
        return next((column.name for column in self.left_out if isinstance(column.kind, Weight)), None)

    def weights(self, table: Any, *, partial: bool = False) -> Tensor | None:
        """The weights ``(N,)`` of the rows, float64; None without a column of weights.

        partial: None also for a table that lacks the column. Raises DataError if the column is missing otherwise, or
        has a gap or a negative value.
        """
        name = self.weight_column
        if name is None:
            return None
        content = self._read(table, partial=True)
        if name not in content.columns:
            if partial:
                return None
            raise DataError(f"the table lacks the column of weights, {name!r}")
        weights = to_numbers(content.columns[name])
        wrong = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
        if len(wrong):
            raise DataError(
                f"column {name!r}, row {wrong[0]}: a weight of 0 or above expected, got {weights[wrong[0]]}"
            )
        return torch.from_numpy(weights.copy())

    def decode(self, rows: EncodedRows, *, library: str | None = _AS_FITTED, first_row: int = 0) -> Any:
        """A table of encoded rows, with the names, types and order of the training table.

        Copies and constants are restored, ids counted; gaps and unknown cells are null. library: "pandas", "polars"
        or "pyarrow" for another DataFrame than that of the training table, None for NumPy arrays by name. first_row:
        the number of rows before these, after which ids go on.
        """
        origin = self.origin
        if library != _AS_FITTED:
            origin = Origin.model_validate({**origin.model_dump(), "library": library})
        states, values = rows.states.numpy(), rows.values.numpy()
        arrays = {
            column.name: column.decode(states[:, place], values[:, place]) for place, column in enumerate(self.modelled)
        }
        kinds = {column.name: (column.kind.counted_from(first_row), column.arrow) for column in self.left_out}
        restored = {name: kind.restore(len(rows), arrays, arrow) for name, (kind, arrow) in kinds.items()}
        arrays |= {name: array for name, array in restored.items() if array is not None}
        ordered = {column.name: arrays[column.name] for column in self.columns if column.name in arrays}
        return give_back(ordered, origin)

    def summary(self, width: int = 80) -> str:
        """A table of the columns: kind, what a model gets, and the reason."""
        from pushforward.estimators.columns.summary import summary

        return summary(self.columns, self.rows, width)

    def to_json(self) -> str:
        """The plan as JSON, which `from_json` reads."""
        return self.model_dump_json(indent=1)

    @classmethod
    def from_json(cls, text: str | bytes) -> ColumnPlan:
        """The plan in the JSON of `to_json`. Raises ModelError for anything else."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise ModelError(f"the plan of the columns cannot be used: {first_problem(error)}") from None


def _guess_all(content: Table, hints: Mapping[str, Hint], scored: bool) -> tuple[Column, ...]:
    def guess(name: str, numbered: bool = True) -> Column:
        hint = hints.get(name, Hint())
        return guess_column(name, content.columns[name], hint, numbered=numbered, scored=scored)

    columns = {name: guess(name) for name in content.columns}
    if not any(column.modelled for column in columns.values()):
        # A table of nothing but row numbers is about them.
        numbers = [c.name for c in columns.values() if isinstance(c.kind, RowNumber) and c.name not in hints]
        columns |= {name: guess(name, numbered=False) for name in numbers}
    modelled = {name: content.columns[name] for name, column in columns.items() if column.modelled}
    hinted = [name for name in modelled if name in hints]
    for name, copy in find_copies(modelled, hinted).items():
        same = "equal in all rows" if copy.equal else "an exact linear combination in all rows"
        columns[name] = LeftOutColumn(name=name, type=columns[name].type, kind=copy, reason=same)
    return tuple(columns.values())


def _encode(column: ModelledColumn, content: Table, noise: Array, partial: bool) -> Cells:
    array = content.columns.get(column.name)
    if array is None:
        blank = Cells.blank(content.rows)
        return Cells(np.full(content.rows, UNKNOWN), blank.values, blank.log_slopes, blank.possible)
    try:
        return column.encode(array, noise, partial=partial)
    except DataError as error:
        raise DataError(f"column {column.name!r}: {error}") from None


def _contradicted(column: LeftOutColumn, content: Table) -> Array:
    """Which rows contradict a column that is left out; none where the table lacks it."""
    array = content.columns.get(column.name)
    if array is None:
        return np.zeros(content.rows, dtype=bool)
    try:
        return column.contradicted(array, content.columns)
    except DataError as error:
        raise DataError(f"column {column.name!r}: {error}") from None


def _impossible(column: Column, content: Table) -> Array:
    """Which rows have a cell that a column rules out."""
    if not column.modelled:
        return _contradicted(column, content)
    return ~_encode(column, content, np.full(content.rows, 0.5), False).possible


def _impossible_or_unreadable(column: Column, content: Table) -> Array:
    """`_impossible`, with cells that cannot be read, such as text among dates, found by halving the table."""
    try:
        return _impossible(column, content)
    except DataError:
        if content.rows == 1:
            return np.ones(1, dtype=bool)
    half = content.rows // 2
    return np.concatenate(
        [_impossible_or_unreadable(column, part) for part in (content.part(0, half), content.part(half))]
    )


def _sentence(column: Column, row: int, value: Any) -> str:
    found = "a gap" if value is None or value != value else repr(value)[:60]
    return f"column {column.name!r}, row {row}: {column.expected} expected, got {found}"


def _plain(cell: Any) -> Any:
    """The value of a cell as Python has it; its text where Python has none, as for nanoseconds."""
    try:
        return cell.as_py()
    except ValueError:
        return str(cell)


def _stacked(cells: Sequence[Cells], possible: Array) -> EncodedRows:
    count = len(possible)

    def stack(parts: list[Array], dtype: torch.dtype) -> Tensor:
        if not parts:
            return torch.empty(count, 0, dtype=dtype)
        return torch.stack([torch.from_numpy(part).to(dtype) for part in parts], 1)

    return EncodedRows(
        stack([cell.states for cell in cells], torch.int64),
        stack([cell.values for cell in cells], torch.float64),
        stack([cell.log_slopes for cell in cells], torch.float64),
        torch.from_numpy(~possible),
    )
