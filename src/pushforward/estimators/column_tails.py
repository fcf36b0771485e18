"""Tail probabilities of the columns of a row, each column alone."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pushforward.estimators.encoded import EncodedRows
from pushforward.estimators.models.table_model import TableModel
from pushforward.threads import one_thread


@torch.no_grad()
def log_tails(model: TableModel, rows: EncodedRows) -> Tensor:
    """``(N,)``: the sum over the columns of the log-probability of a content at least as extreme.

    For a value that is twice the smaller of the probabilities below and above it, times that of its state; for a state
    alone its own probability. Any monotone change of a column's unit leaves it as it is (Li et al., "ECOD: Unsupervised
    outlier detection using empirical cumulative distribution functions", 2022). -inf for a row that cannot be.
    """
    nothing, total = EncodedRows.unknown(model.shapes, 1), torch.zeros(len(rows), dtype=torch.float64)
    with one_thread():
        for column in range(len(model.shapes)):
            alone = model.column_given(nothing, column)
            states, values = rows.states[:, column], rows.values[:, column]
            total += alone.log_states[0, states.clamp(min=0)].where(states >= 0, 0.0)
            if alone.value is not None:
                below, above = alone.value.expand(len(rows)).log_tails(values.nan_to_num())
                tail = (torch.minimum(below, above) + math.log(2)).clamp(max=0.0)
                total += tail.where((states == 0) & ~values.isnan(), 0.0)
    return total.masked_fill(rows.impossible, -torch.inf)
