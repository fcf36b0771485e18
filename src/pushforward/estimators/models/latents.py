"""Gaussian latents of rows: one standard normal number for each part of a row, by the chain rule.

A value passes through its conditional distribution function. A state takes a random place in its interval of
cumulative probability, and a part that a row does not have a random number: the latents of rows that follow the model
are independent standard normals, and `decode` is the exact inverse.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from pushforward.estimators.encoded import ColumnShape, EncodedRows, joined
from pushforward.estimators.models.column_chain import Chain
from pushforward.estimators.models.column_net import Known, Part
from pushforward.estimators.models.mixture_head import MixtureHead
from pushforward.maps.probit import logit_of_normal, probit_of_logit

_BLOCK = 4096


def latent_parts(chain: Chain) -> list[Part]:
    """The parts of a row, in the order of its latents."""
    return list(chain.parts)


@torch.no_grad()
def encode(chain: Chain, rows: EncodedRows, generator: torch.Generator | None) -> Tensor:
    """Latents ``(N, P)`` of complete rows under the first net, float64.

    Without a generator states take the middle of their interval, and parts that a row does not have are 0.
    """
    parts = [_encode(chain, rows.take(block), generator) for block in torch.arange(len(rows)).split(_BLOCK)]
    return torch.cat(parts) if parts else torch.zeros(0, len(chain.parts), dtype=torch.float64)


def _encode(chain: Chain, rows: EncodedRows, generator: torch.Generator | None) -> Tensor:
    net = chain.nets[0]
    complete = Known.of(rows, chain.shapes)
    known = chain.outside_targets(complete)
    latents = torch.zeros(len(rows), len(chain.parts), dtype=torch.float64)
    if generator is not None:
        latents.normal_(generator=generator)
    for place, part in enumerate(chain.parts):
        params = net.params(rows, known, part).double()
        there = complete.has(part)
        if part[0] == "state":
            z = _state_latent(params, rows.states[:, part[1]].clamp(min=0), generator)
        else:
            below, above = MixtureHead.of(params).log_tails(torch.nan_to_num(rows.values[:, part[1]]))
            z = probit_of_logit(below - above)[0]
        latents[:, place] = torch.where(there, z, latents[:, place])
        known.reveal(part, complete)
    return latents


@torch.no_grad()
def decode(chain: Chain, latents: Tensor) -> EncodedRows:
    """Complete rows with the latents ``(N, P)``, of a chain over all columns."""
    parts = [_decode(chain, block) for block in latents.split(_BLOCK)]
    return joined(parts) if parts else EncodedRows.unknown(chain.shapes, 0)


def _decode(chain: Chain, latents: Tensor) -> EncodedRows:
    net = chain.nets[0]
    rows = _single_states(chain.shapes, len(latents))
    for place, part in enumerate(chain.parts):
        kind, j = part
        params = net.params(rows, Known.of(rows, chain.shapes), part).double()
        z = latents[:, place].double()
        if kind == "state":
            cumulative = params.softmax(1).cumsum(1)[:, :-1].contiguous()
            rows.states[:, j] = torch.searchsorted(cumulative, torch.special.ndtr(z)[:, None])[:, 0]
            if chain.shapes[j].value:
                rows.values[:, j] = torch.where(rows.states[:, j] == 0, torch.nan, 0.0).double()
        else:
            logit = logit_of_normal(z)[0]
            below, above = torch.nn.functional.logsigmoid(logit), torch.nn.functional.logsigmoid(-logit)
            value = MixtureHead.of(params).quantile(below, above)
            rows.values[:, j] = torch.where(rows.states[:, j] == 0, value, 0.0)
    return rows


def _single_states(shapes: Sequence[ColumnShape], count: int) -> EncodedRows:
    """Rows of which nothing is known but the state of columns with one state."""
    rows = EncodedRows.unknown(shapes, count)
    for j, shape in enumerate(shapes):
        if shape.states == 1:
            rows.states[:, j] = 0
            rows.values[:, j] = math.nan
    return rows


def _state_latent(params: Tensor, state: Tensor, generator: torch.Generator | None) -> Tensor:
    """The normal quantile of a place in the state's interval of cumulative probability, random or the middle."""
    probabilities = params.softmax(1)
    upper = probabilities.cumsum(1).gather(1, state[:, None])[:, 0]
    own = probabilities.gather(1, state[:, None])[:, 0]
    place = torch.full((len(state),), 0.5, dtype=torch.float64)
    if generator is not None:
        place.uniform_(generator=generator)
    # Away from the interval's ends, where rounding could give a neighbour's state in `decode`.
    place = 1e-6 + (1 - 2e-6) * place
    tiny = torch.finfo(torch.float64).tiny
    latent: Tensor = torch.special.ndtri((upper - own * place).clamp(tiny, 1 - 1e-16))
    return latent
