"""Scores of the rows of tables in their units."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from pushforward.array_types import Array
from pushforward.estimators.cell_integrals import CellIntegral, Cells, Part, cells_of, log_cell_mass
from pushforward.estimators.columns.tables import Table
from pushforward.estimators.encoded import EncodedRows
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


def averaged_scores(parts: Sequence[Part], model: TableModel, slopes: Sequence[int] | None = None) -> RowScores:
    """The scores of the rows of tables side by side; over the cells of integers, the density is integrated.

    parts: plans and tables, and whether absent content is unknown. slopes: the columns in whose units the density is,
    by default all; over the cells of the others, the density is averaged.
    """
    scored = range(len(model.shapes)) if slopes is None else slopes
    cells, points = list(cells_of(parts, scored)), places_in_cells(sum(plan.dequantised for plan, _, _ in parts))
    if cells and model.conditional and len(model.targets) == 1:
        return _scores_of_one(parts, model, cells[0], points)
    discrete, continuous = torch.zeros(0), list[Tensor]()
    integral: CellIntegral | None = None
    for number, places in enumerate(points):
        rows = _encoded(parts, places)
        integral = integral or CellIntegral.of(cells, rows, model, points)
        rows = integral.moved(rows, number)
        if not continuous:
            discrete, values = model.log_prob(rows)
        else:
            values = model.log_values(rows)
        continuous.append(values + rows.log_slopes[:, list(scored)].sum(1))
    assert integral is not None  # there is at least one point
    return RowScores(discrete, integral.of_density(torch.stack(continuous)).masked_fill(discrete == -math.inf, 0.0))


def _scores_of_one(
    parts: Sequence[Part], model: TableModel, cells: Cells, points: Sequence[Sequence[float]]
) -> RowScores:
    """The scores of an only target, which has exact probabilities of its cells given the other columns."""
    discrete, masses = torch.zeros(0), list[Tensor]()
    for places in points:
        rows = _encoded(parts, places)
        discrete = discrete if masses else model.log_prob(rows).discrete
        masses.append(log_cell_mass(model, rows, cells))
    mean = torch.stack(masses).logsumexp(0) - math.log(len(masses))
    return RowScores(discrete, mean.masked_fill(discrete == -math.inf, 0.0))


def _encoded(parts: Sequence[Part], places: Sequence[float]) -> EncodedRows:
    """The rows of tables side by side, with each dequantised value at a place within its cell."""
    encoded, at = [], 0
    for plan, table, partial in parts:
        encoded.append(plan.encode(table, places=places[at : at + plan.dequantised], partial=partial))
        at += plan.dequantised
    return beside(encoded)


def blocks_of(table: Table) -> Iterator[Table]:
    """The rows of a table, some at a time; at least one block."""
    for start in range(0, max(1, table.rows), _BLOCK):
        yield table.part(start, _BLOCK)


def rows_of(table: Table) -> Iterator[Table]:
    """Tables of one row each."""
    for row in range(table.rows):
        yield table.part(row, 1)


def places_in_cells(columns: int) -> list[list[float]]:
    """Places within the cells of dequantised columns, the same for all rows: midpoints for one, else a Sobol sequence.

    The points of the sequence are moved to the same midpoints, of which those of two columns are all combinations.
    """
    if not columns:
        return [[]]
    if columns == 1:
        return [[(place + 0.5) / _PLACES] for place in range(_PLACES)]
    width = min(columns, stats.qmc.Sobol.MAXDIM)
    sequence = stats.qmc.Sobol(width, scramble=True, seed=0)
    points = sequence.random_base2(_FEW_LOG if columns <= _FEW_COLUMNS else _MANY_LOG)
    points = (np.floor(points * _PLACES) + 0.5) / _PLACES
    return [[float(point[column % width]) for column in range(columns)] for point in points]
