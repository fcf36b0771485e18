"""Contributions of the columns to the score of a row: each value's surprise given the others."""

from __future__ import annotations

import torch
from torch import Tensor

from pushforward.estimators.encoded import EncodedRows
from pushforward.estimators.models.members import hide
from pushforward.estimators.models.mixture_head import MixtureHead
from pushforward.estimators.models.table_model import TableModel
from pushforward.threads import one_thread

_BLOCK, _DRAWS = 4096, 32


@torch.no_grad()
def surprises(model: TableModel, rows: EncodedRows, generator: torch.Generator) -> Tensor:
    """``(N, C)`` nats: the log-probability of each column's content given the others, minus its expectation.

    Below 0 where the content is less likely than usual; 0 where it is unknown, or the row cannot be.
    """
    nats = torch.zeros(rows.states.shape, dtype=torch.float64)
    with one_thread():
        for block in torch.arange(len(rows)).split(_BLOCK):
            for column in range(len(model.shapes)):
                nats[block, column] = _surprise(model, rows.take(block), column, generator)
    return nats.masked_fill(rows.impossible[:, None], 0.0)


def _surprise(model: TableModel, rows: EncodedRows, column: int, generator: torch.Generator) -> Tensor:
    given = hide(rows, [column])
    predicted = model.blend.conditional(given, column) or model.chain.conditional(given, column)
    logs, states, values = predicted.log_states, rows.states[:, column], rows.values[:, column]
    own = logs.gather(1, states.clamp(min=0)[:, None])[:, 0]
    expected = (logs.exp() * logs.clamp(min=-1e3)).sum(1)
    if predicted.value is not None:
        own = own + predicted.value.log_density(values.nan_to_num()).where(states == 0, 0.0)
        expected = expected + logs[:, 0].exp() * _mean_log_density(predicted.value, generator)
    known = (states >= 0) & ~values.isnan()
    return (own - expected).where(known, 0.0)


def _mean_log_density(head: MixtureHead, generator: torch.Generator) -> Tensor:
    """``(N,)``: the expected log-density of a draw."""
    return torch.stack([head.log_density(head.sample(generator)) for _ in range(_DRAWS)]).mean(0)
