"""Autoregressive transforms: orders, adjacencies, contexts, and nets that are no MADE."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from entry import Entry, Reason, transform_entry
from pushforward.maps import Affine, SoftClampScale, TanhScale
from pushforward.nets import MADE
from pushforward.nets.masks import full_adjacency
from pushforward.nets.staged import StagedNet, Stages, whole_passes
from pushforward.transforms import Autoregressive, BlockAutoregressive
from pushforward.transforms.base import Inverse

# x2 depends on x0 and x1, x3 on x0 only: two steps, x0 and x1 first.
DIAMOND = [[0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0]]


class OtherNet(StagedNet):
    """A MADE as a net without a cache: stands for any net with an order of stages."""

    def __init__(self, net: MADE) -> None:
        super().__init__()
        self.net, self.event_shape, self.n_params, self.order = net, net.event_shape, net.n_params, net.order

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        params: Tensor = self.net(x, context)
        return params

    def stages(self, like: Tensor, context: Tensor | None = None) -> Stages[Tensor]:
        return whole_passes(self, like, context)


def made(adjacency: Tensor, context: int = 0, hidden: Sequence[int] = (12, 12), residual: bool = True) -> MADE:
    return MADE(adjacency, 2, hidden, context, "tanh", residual)


def _affine(net: StagedNet) -> Autoregressive:
    return Autoregressive(Affine(SoftClampScale()), net)


def entries() -> list[Entry]:
    diamond = torch.tensor(DIAMOND, dtype=torch.bool)
    return [
        transform_entry("autoregressive", (3,), lambda: _affine(made(full_adjacency(3))), smooth=True, golden=True),
        transform_entry(
            "autoregressive, plain",
            (4,),
            lambda: _affine(made(full_adjacency(4, (2, 0, 3, 1)), residual=False)),
        ),
        transform_entry("autoregressive, adjacency", (4,), lambda: _affine(made(diamond))),
        transform_entry("autoregressive, context", (3,), lambda: _affine(made(full_adjacency(3), 2)), context=(2,)),
        transform_entry(
            "autoregressive, plain, context",
            (2,),
            lambda: _affine(made(full_adjacency(2), 2, (7, 5), False)),
            context=(2,),
        ),
        transform_entry("autoregressive, one feature", (1,), lambda: _affine(made(full_adjacency(1)))),
        transform_entry(
            "autoregressive, one feature, context",
            (1,),
            lambda: _affine(made(full_adjacency(1), 2)),
            context=(2,),
        ),
        transform_entry("autoregressive, few units", (6,), lambda: _affine(made(full_adjacency(6), hidden=(3, 9, 9)))),
        transform_entry("autoregressive, other net", (3,), lambda: _affine(OtherNet(made(full_adjacency(3))))),
        transform_entry(
            "inverse autoregressive",
            (3,),
            lambda: Inverse(Autoregressive(Affine(TanhScale()), made(full_adjacency(3)))),
        ),
        transform_entry(
            "block autoregressive",
            (3,),
            lambda: BlockAutoregressive(3, (4, 3)),
            golden=True,
            skips={"i": Reason.COMPILED_ALREADY},  # with a context, of two coordinates
        ),
        transform_entry("block autoregressive, context", (2,), lambda: BlockAutoregressive(2, (4,), 2), context=(2,)),
        transform_entry("block autoregressive, one feature", (1,), lambda: BlockAutoregressive(1, (4, 4))),
    ]
