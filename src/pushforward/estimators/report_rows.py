"""The rows of a report: those that a fit held out, or new ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pushforward.array_types import Array
from pushforward.errors import DataError, OptionError
from pushforward.estimators.columns.plan import ColumnPlan
from pushforward.estimators.columns.tables import Table, read_table, taken
from pushforward.estimators.drift import Drift, Marginals, compared_rows, drift
from pushforward.estimators.encoded import EncodedRows
from pushforward.estimators.fit_record import FitRecord
from pushforward.estimators.models.table_model import RowScores
from pushforward.estimators.possible_cells import possible_cells
from pushforward.estimators.training_rows import TrainingRows, beside
from pushforward.evaluation.predictive_scores import PredictedTarget

# Rows whose columns are compared, rows that are scored, training rows that are scored, and problems that are told.
_COMPARED, _MOST, _OF_TRAIN, _PROBLEMS = 100_000, 3000, 500, 5

# The tables of the columns of each plan, to the scores of their rows in the units of the tables.
Scorer = Callable[[Sequence[Table]], RowScores]


@dataclass(frozen=True, eq=False)
class JudgedRows:
    """The rows of a report, and their scores in the units of the table.

    tables: of the columns of each plan; rows: the same encoded, dequantised values anywhere in their cells. numbers: of
    new rows in their table. train: rows of the fit, None if they are not at hand; train_scores: of some of them. drift:
    of new rows, None for those that the fit held out; compared: the rows that show it. problems: sentences about cells
    of density zero. total: the number of rows that these were drawn from. predicted, worst: of a regressor, its
    predictions and worst rows.
    """

    tables: tuple[Table, ...]
    rows: TrainingRows
    scores: RowScores
    numbers: Array | None = None
    train: TrainingRows | None = None
    train_scores: RowScores | None = None
    drift: list[Drift] | None = None
    compared: EncodedRows | None = None
    problems: tuple[str, ...] = ()
    total: int = 0
    predicted: tuple[PredictedTarget, ...] = ()
    worst: tuple[dict[str, Any], ...] = ()

    @property
    def name(self) -> str:
        """The words for the rows."""
        return "held-out rows" if self.drift is None else "new rows"


def held_out_rows(plans: Sequence[ColumnPlan], record: FitRecord, score: Scorer, seed: int) -> JudgedRows:
    """The rows that a fit held out, beside its training rows. Raises OptionError where it held out none."""
    if record.held_out is None:
        raise OptionError(
            "no rows were held out of the fit, or the model was loaded: give the report rows of a table, or fit with "
            "held_out=0.1"
        )
    rows, train = record.held_out.unmerged(seed), record.train
    tables = _tables(plans, rows.rows)
    train_scores = None
    if train is not None:
        some = train.unmerged(seed)
        some = some if len(some.rows) <= _OF_TRAIN else some.split(_OF_TRAIN, seed)[0]
        train_scores = score(_tables(plans, some.rows))
    return JudgedRows(tables, rows, score(tables), train=train, train_scores=train_scores, total=len(rows.rows))


def new_rows(
    plans: Sequence[ColumnPlan],
    tables: Sequence[Table],
    weights: Array | None,
    marginals: Sequence[Marginals],
    score: Scorer,
    seed: int,
    partial: Sequence[bool],
) -> JudgedRows:
    """Rows of tables that took no part in a fit, at most 3,000 of them, with the drift of the columns of 100,000.

    partial: for each plan, whether content unlike that of all training rows is unknown, as in predictions, and not of
    density zero.
    """
    total = tables[0].rows
    if not total:
        raise DataError("the table has no rows, but a report needs at least one")
    numbers = np.arange(total)
    if weights is not None:
        numbers = numbers[weights > 0]
    numbers = _some(numbers, _COMPARED, seed)
    parts = list(zip(plans, (taken(table, numbers) for table in tables), partial, strict=True))
    changes, compared, problems = [], list[EncodedRows](), []
    for (plan, table, _), fitted in zip(parts, marginals, strict=False):
        compared.append(compared_rows(plan, table, None if weights is None else weights[numbers]))
        changes += drift(plan, fitted, compared[-1])
    for plan, table, unknown in parts:
        if not unknown:
            problems += [problem.sentence for problem in plan.problems(table, limit=_PROBLEMS, repeated=False)]
    numbers = _some(numbers, _MOST, seed)
    tables = [
        possible_cells(plan, taken(table, numbers)) if unknown else taken(table, numbers)
        for plan, table, unknown in zip(plans, tables, partial, strict=True)
    ]
    counts = np.ones(len(numbers)) if weights is None else weights[numbers]
    generator = torch.Generator().manual_seed(seed)
    encoded = zip(plans, tables, partial, strict=True)
    rows = beside([plan.encode(table, generator=generator, partial=unknown) for plan, table, unknown in encoded])
    return JudgedRows(
        tuple(tables),
        TrainingRows(rows, torch.from_numpy(counts), len(rows), torch.ones(len(rows), dtype=torch.float64)),
        score(tables),
        numbers=numbers,
        drift=sorted(changes, key=lambda change: -change.size),
        compared=beside(compared) if compared else None,
        problems=tuple(problems),
        total=total,
    )


def _some(numbers: Array, most: int, seed: int) -> Array:
    return numbers if len(numbers) <= most else np.sort(np.random.default_rng(seed).permutation(numbers)[:most])


def _tables(plans: Sequence[ColumnPlan], rows: EncodedRows) -> tuple[Table, ...]:
    """The tables of encoded rows, whose columns are those of all plans in turn."""
    tables, start = [], 0
    for plan in plans:
        part = rows.columns(range(start, start + len(plan.names)))
        tables.append(read_table(plan.decode(part, library="pyarrow")))
        start += len(plan.names)
    return tuple(tables)
