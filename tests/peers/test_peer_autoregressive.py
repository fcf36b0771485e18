"""A whole masked autoregressive flow against zuko's, with the same weights."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from pushforward.bases import StandardNormal
from pushforward.flow import Flow
from pushforward.maps import Affine, SoftClampScale
from pushforward.nets import MADE
from pushforward.nets.made import MaskedLinear
from pushforward.nets.masks import full_adjacency
from pushforward.transforms import Autoregressive
from pushforward.transforms.base import Chain

_FEATURES, _WIDTH = 4, 24  # as many units for every set of parents, with and without a context


def _keys(sets: Tensor) -> list[tuple[bool, ...]]:
    return [tuple(row) for row in sets.tolist()]


@torch.no_grad()
def _transplant(theirs: Any, ours: MADE, context: int) -> None:
    """zuko's weights into our net: its units stand in another order, and its parameters are feature by feature."""
    linear = [layer for layer in theirs if hasattr(layer, "mask")]
    place: list[int] = list(range(_FEATURES))
    sets = torch.eye(_FEATURES, dtype=torch.bool)
    our_sets = torch.eye(_FEATURES, dtype=torch.bool)
    for i, layer in enumerate(linear[:-1]):
        target = ours.layers[i]
        assert isinstance(target, MaskedLinear)
        mask, weight = (value[:, :_FEATURES] if i == 0 else value for value in (layer.mask, layer.weight))
        # What a unit sees, through all layers so far; the two nets' units correspond where they see the same.
        sets, our_sets = (mask.double() @ sets.double() > 0), (target.mask.double() @ our_sets.double() > 0)
        free: dict[tuple[bool, ...], list[int]] = {}
        for unit, key in enumerate(_keys(sets)):
            free.setdefault(key, []).append(unit)
        units = [free[key].pop() for key in _keys(our_sets)]
        assert not any(free.values()), "each of zuko's units has one of ours"
        assert torch.equal(mask[units][:, place], target.mask)
        target.weight.copy_(weight[units][:, place])
        target.bias.copy_(layer.bias[units])
        if i == 0 and context:
            ours.from_context[0].weight.copy_(layer.weight[units][:, _FEATURES:])  # type: ignore[operator, union-attr, index]
            ours.from_context[0].bias.zero_()  # type: ignore[operator, union-attr]
        place = units
    rows = [feature * ours.n_params + p for p in range(ours.n_params) for feature in range(_FEATURES)]
    ours.last.weight.copy_(linear[-1].weight[rows][:, place])
    ours.last.bias.copy_(linear[-1].bias[rows])


@pytest.mark.parametrize("context", [0, 2])
def test_masked_autoregressive_flow_is_that_of_zuko(context: int) -> None:
    zuko = pytest.importorskip("zuko")
    torch.manual_seed(0)
    peer = zuko.flows.MAF(_FEATURES, context, transforms=3, hidden_features=(_WIDTH, _WIDTH)).double()
    steps = []
    for theirs in peer.transform.transforms:
        order = theirs.order.argsort().tolist()
        map = Affine(SoftClampScale(-math.log(1e-3)))  # zuko's scales are above 1e-3
        net = MADE(full_adjacency(_FEATURES, order), map.n_params, (_WIDTH, _WIDTH), context, residual=False)
        _transplant(theirs.hyper, net, context)
        steps.append(Autoregressive(map, net))
    ours = Flow(StandardNormal((_FEATURES,)), Chain(steps), (context,) if context else None).double().eval()
    x = 2 * torch.randn(200, _FEATURES, dtype=torch.float64)
    c = torch.randn(200, context, dtype=torch.float64) if context else None
    with torch.no_grad():
        wanted = peer(c).log_prob(x)
        torch.testing.assert_close(ours.log_prob(x, c), wanted, atol=1e-6, rtol=1e-6)
        assert wanted.std() > 0.1
