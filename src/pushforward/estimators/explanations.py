"""Contributions of the columns to the score of a row: how well each value agrees with the others."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow
import torch
from torch import Tensor

from pushforward.estimators.columns.arrow_types import plain
from pushforward.estimators.columns.plan import ColumnPlan
from pushforward.estimators.columns.tables import Table
from pushforward.estimators.encoded import EncodedRows
from pushforward.estimators.models.column_distribution import ColumnDistribution
from pushforward.estimators.models.members import hide
from pushforward.estimators.models.table_model import TableModel
from pushforward.threads import one_thread

_BLOCK = 4096
# A wrong value is an arbitrary one with this probability, else that of another row.
_ARBITRARY = 0.05
# The scale of the Cauchy distribution of an arbitrary value, in the units of encoded values.
_SCALE = 3.0


def explained(model: TableModel, plan: ColumnPlan, table: Table, generator: torch.Generator) -> dict[str, Any]:
    """`agreements` of the cells of a table as Arrow arrays by column; minus infinity where no training row has such."""
    nats = agreements(model, plan.encode(table, generator=generator))
    columns = {}
    for place, column in enumerate(plan.modelled):
        possible = column.encode(plain(table.columns[column.name]), np.full(table.rows, 0.5)).possible
        columns[column.name] = pyarrow.array(np.where(possible, nats[:, place].numpy(), -np.inf))
    return columns


@torch.no_grad()
def agreements(model: TableModel, rows: EncodedRows) -> Tensor:
    """``(N, C)`` nats: the log-probability of each column's content given the others, minus that of a wrong content.

    A wrong content does not depend on the others: it is that of another row, or an arbitrary one. If one column of a
    row is wrong, and each is as likely as the others, then the column of the lowest number is the most probable one.
    0 where the content is unknown, or the row cannot be.
    """
    nats = torch.zeros(rows.states.shape, dtype=torch.float64)
    nothing = EncodedRows.unknown(model.shapes, 1)
    with one_thread():
        for column in range(len(model.shapes)):
            alone = model.column_given(nothing, column)
            for block in torch.arange(len(rows)).split(_BLOCK):
                some = rows.take(block)
                given = model.column_given(hide(some, [column]), column)
                states, values = some.states[:, column], some.values[:, column]
                agreement = given.log_density(states, values) - _log_wrong(alone, states, values)
                nats[block, column] = agreement.where((states >= 0) & ~values.isnan(), 0.0)
    return nats.masked_fill(rows.impossible[:, None], 0.0)


def _log_wrong(alone: ColumnDistribution, states: Tensor, values: Tensor) -> Tensor:
    """``(N,)``: the log-density of contents that are those of other rows, or arbitrary."""
    arbitrary = torch.full((len(states),), -math.log(alone.log_states.shape[1]), dtype=torch.float64)
    if alone.value is not None:
        cauchy = torch.distributions.Cauchy(0.0, torch.tensor(_SCALE, dtype=torch.float64))
        arbitrary = arbitrary + cauchy.log_prob(values.nan_to_num()).where(states == 0, 0.0)
    of_others = alone.log_density(states, values)
    return torch.logaddexp(of_others + math.log1p(-_ARBITRARY), arbitrary + math.log(_ARBITRARY))
