"""Contributions of the columns to the score of a row: each value's surprise given the others."""

from __future__ import annotations

import torch
from torch import Tensor

from pushforward.estimators.encoded import EncodedRows
from pushforward.estimators.models.column_chain import Chain
from pushforward.estimators.models.column_net import ColumnNet, Known, Part
from pushforward.estimators.models.mixture_head import MixtureHead
from pushforward.estimators.models.table_model import TableModel

_BLOCK, _DRAWS = 4096, 32


@torch.no_grad()
def surprises(model: TableModel, rows: EncodedRows, generator: torch.Generator) -> Tensor:
    """``(N, C)`` nats: the log-probability of each column's content given the others, minus its expectation.

    Below 0 where the content is less likely than usual; 0 where it is unknown, or the row cannot be.
    """
    blocks = torch.arange(len(rows)).split(_BLOCK)
    parts = [_surprises(model.chain, rows.take(block), generator) for block in blocks]
    nats = torch.cat(parts) if parts else torch.zeros(0, len(model.shapes), dtype=torch.float64)
    return nats.masked_fill(rows.impossible[:, None], 0.0)


def _surprises(chain: Chain, rows: EncodedRows, generator: torch.Generator) -> Tensor:
    nats = torch.zeros(len(rows), len(chain.shapes), dtype=torch.float64)
    for part in chain.parts:
        nats[:, part[1]] += torch.stack([_term(net, rows, part, generator) for net in chain.nets]).mean(0)
    return nats


def _term(net: ColumnNet, rows: EncodedRows, part: Part, generator: torch.Generator) -> Tensor:
    """The surprise of one part of the rows; 0 where it is not known."""
    kind, j = part
    complete = Known.of(rows, net.shapes)
    there = complete.has(part)
    states, values = complete.states.clone(), complete.values.clone()
    values[:, j] = False
    if kind == "state":
        states[:, j] = False
    params = net.output(net.hidden(net.features(rows, Known(states, values))), part).double()
    if kind == "state":
        logs = params.log_softmax(1)
        own = logs.gather(1, rows.states[:, j].clamp(min=0)[:, None])[:, 0]
        return (own - (logs.exp() * logs).sum(1)).where(there, 0.0)
    head = MixtureHead.of(params)
    own = head.log_density(torch.nan_to_num(rows.values[:, j]))
    expected = torch.stack([head.log_density(head.sample(generator)) for _ in range(_DRAWS)]).mean(0)
    return (own - expected).where(there, 0.0)
