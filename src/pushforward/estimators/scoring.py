"""Scores of the rows of tables in their units."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from scipy import stats
from torch import Tensor

from pushforward.array_types import Array
from pushforward.estimators.columns.plan import ColumnPlan
from pushforward.estimators.columns.tables import Table
from pushforward.estimators.models.table_model import RowScores, TableModel
from pushforward.estimators.training_rows import beside

# Rows that are scored together, and places within the cell of an integer over which a score averages.
_BLOCK, _PLACES = 100_000, 4
# The same for several columns, as powers of two, and how many columns are few.
_FEW_LOG, _MANY_LOG, _FEW_COLUMNS = 4, 5, 3


class ScoreParts(NamedTuple):
    """The parts of the scores of N rows: log-probability ``discrete``, log-density ``continuous``, ``(N,)`` each."""

    discrete: Array
    continuous: Array


def averaged_scores(
    parts: Sequence[tuple[ColumnPlan, Table, bool]], model: TableModel, slopes: Sequence[int] | None = None
) -> RowScores:
    """The scores of the rows of tables side by side; over the cell of an integer, the density is averaged.

    parts: plans and tables, and whether absent content is unknown. slopes: the columns in whose units the density is,
    by default all.
    """
    counts = [plan.dequantised for plan, _, _ in parts]
    discrete, continuous = torch.zeros(0), list[Tensor]()
    for places in _places(sum(counts)):
        encoded, at = [], 0
        for (plan, table, partial), count in zip(parts, counts, strict=True):
            encoded.append(plan.encode(table, places=places[at : at + count], partial=partial))
            at += count
        rows = beside(encoded)
        jacobian = rows.jacobian() if slopes is None else rows.log_slopes[:, list(slopes)].sum(1)
        if not continuous:
            discrete, values = model.log_prob(rows)
        else:
            values = model.log_values(rows).masked_fill(discrete == -math.inf, 0.0)
        continuous.append(torch.where(rows.impossible, 0.0, values + jacobian))
    return RowScores(discrete, torch.stack(continuous).logsumexp(0) - math.log(len(continuous)))


def blocks_of(table: Table) -> Iterator[Table]:
    """The rows of a table, some at a time; at least one block."""
    for start in range(0, max(1, table.rows), _BLOCK):
        yield table.part(start, _BLOCK)


def rows_of(table: Table) -> Iterator[Table]:
    """Tables of one row each."""
    for row in range(table.rows):
        yield table.part(row, 1)


def _places(columns: int) -> list[list[float]]:
    """Places within the cells of dequantised columns, the same for all rows: midpoints for one, else a Sobol sequence.

    The logarithm of a mean over few points is too low on average, the more so the more columns there are.
    """
    if not columns:
        return [[]]
    if columns == 1:
        return [[(place + 0.5) / _PLACES] for place in range(_PLACES)]
    width = min(columns, stats.qmc.Sobol.MAXDIM)
    sequence = stats.qmc.Sobol(width, scramble=True, seed=0)
    points = sequence.random_base2(_FEW_LOG if columns <= _FEW_COLUMNS else _MANY_LOG)
    return [[float(point[column % width]) for column in range(columns)] for point in points]
