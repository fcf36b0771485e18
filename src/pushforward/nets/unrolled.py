"""A MADE run stage by stage, for the way back of an autoregressive transform: about the cost of one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.nets.masked import MADE, MaskedLinear, combine
from pushforward.nets.mlp import INPUT_LIMIT

# What all units before a block of stages contribute to it is one large product; within it, few units are looked at.
# Products of a few rows with all units would read these again for every stage, and be bound by memory.
_BLOCK = 8


@dataclass(frozen=True)
class _Block:
    """What is computed when a block of stages begins: for every layer the first unit of the block, how many rows of the
    layer before were looked at, and what they contribute; and the last layer's for the block's coordinates."""

    first: list[int]
    looked: list[int]
    ahead: list[Tensor]
    last: Tensor


class Unrolled:
    """A `MADE` run stage by stage: the coordinates of a stage are computed from those before, each unit once.

    Without gradients, values are written into one tensor a layer; with them, pieces are put together, for autograd.
    """

    def __init__(self, net: MADE, batch: Tensor, context: Tensor | None) -> None:
        """batch: any tensor with the rows, dtype and device of the coordinates to come, ``(B, ...)``."""
        self.net, self.terms = net, net.context_terms(context)
        order = sorted(range(net.features), key=net.stage.__getitem__)
        self.groups: list[list[int]] = [[] for _ in range(net.passes)]
        for coordinate in order:
            self.groups[net.stage[coordinate]].append(coordinate)
        self.order = torch.tensor(order, dtype=torch.long, device=batch.device)
        layers = [layer for layer in net.layers if isinstance(layer, MaskedLinear)]
        self.weights = [layer.masked() for layer in layers]
        self.weights[0] = self.weights[0].index_select(1, self.order)
        self.biases = [layer.offset() for layer in layers]
        # Rows in the order in which coordinates become known, so that those of a stage lie next to each other.
        self.last = net.last.masked().reshape(net.n_params, net.features, -1).index_select(1, self.order)
        self.last_bias = net.last.offset().reshape(net.n_params, net.features, 1).index_select(1, self.order)
        self.direct = None
        if net.direct is not None:
            direct = net.direct.masked().reshape(net.n_params, net.features, -1)
            self.direct = direct.index_select(1, self.order).index_select(2, self.order)
        self.inputs = Rows(net.features, batch)
        self.active = [Rows(len(bias), batch) for bias in self.biases]
        self.blocks: list[_Block] = []

    def params(self, stage: int) -> Tensor:
        """The raw parameters ``(P, n, B)`` of the ``n`` coordinates ``groups[stage]``, given all before them."""
        net, h = self.net, None
        if stage % _BLOCK == 0:
            self._begin_block(stage)
        block = self.blocks[-1]
        for i, (weight, term) in enumerate(zip(self.weights, self.terms, strict=True)):
            start, stop = self._known(i, stage - 1), self._known(i, stage)
            first, looked = block.first[i], block.looked[i]
            seen = (self.inputs if i == 0 else self.active[i - 1]).since(looked)
            own = weight[start:stop, looked : looked + len(seen)]
            out = torch.addmm(block.ahead[i][start - first : stop - first], own, seen)
            h = combine(out if h is None else h, out, None if term is None else term[start:stop], net.skips[i])
            self.active[i].append(net.activation(h))
        seen = self.active[-1].since(block.looked[-1])
        start = self._coordinates(stage)
        stop = start + len(self.groups[stage])
        own = self.last[:, start:stop, block.looked[-1] : block.looked[-1] + len(seen)]
        first = self._coordinates(stage - stage % _BLOCK)
        out = _product(own, seen) + block.last[:, start - first : stop - first]
        if self.direct is None:
            return out
        return out + _product(self.direct[:, start:stop, :start], self.inputs.since(0))

    def append(self, x: Tensor) -> None:
        """The coordinates ``(n, B)`` of the stage that was asked for last."""
        self.inputs.append(x.to(self.last.dtype).clamp(-INPUT_LIMIT, INPUT_LIMIT))

    def in_order(self, values: Sequence[Tensor]) -> Tensor:
        """Rows ``(n, B)`` of all stages as ``(B, D)``, each coordinate in its own place."""
        return torch.cat(list(values), 0).index_select(0, self.order.argsort()).t()

    def _begin_block(self, stage: int) -> None:
        """For all units and coordinates of the block of stages: what everything known so far contributes to them."""
        last = min(stage + _BLOCK, self.net.passes) - 1
        first, looked, ahead = [], [], []
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            seen = (self.inputs if i == 0 else self.active[i - 1]).since(0)
            rows = slice(self._known(i, stage - 1), self._known(i, last))
            first.append(rows.start)
            looked.append(len(seen))
            ahead.append(torch.addmm(bias[rows], weight[rows, : len(seen)], seen))
        seen = self.active[-1].since(0)
        looked.append(len(seen))
        chosen = slice(self._coordinates(stage), self._coordinates(last + 1))
        own = self.last[:, chosen, : len(seen)]
        self.blocks.append(_Block(first, looked, ahead, _product(own, seen) + self.last_bias[:, chosen]))

    def _known(self, layer: int, stage: int) -> int:
        """How many units of a layer are known when the coordinates of ``stage`` are computed."""
        return 0 if stage < 0 else self.net.known[layer][stage]

    def _coordinates(self, stage: int) -> int:
        """How many coordinates come before those of ``stage``."""
        return sum(map(len, self.groups[:stage]))


def _product(weight: Tensor, seen: Tensor) -> Tensor:
    """``(P, n, units)`` and ``(units, B)`` to ``(P, n, B)``."""
    return (weight.flatten(0, 1) @ seen).reshape(*weight.shape[:2], -1)


class Rows:
    """Rows ``(n, B)`` that become known piece by piece.

    What changes here are lists, no attributes: torch.compile loses a change of an attribute where a loop was traced.
    """

    def __init__(self, size: int, batch: Tensor) -> None:
        self.pieces = [batch.new_zeros(0, len(batch))]
        # A compiled graph with a loop in it must not see tensors change either.
        pure = torch.is_grad_enabled() or torch.compiler.is_compiling()
        self.whole = None if pure else batch.new_zeros(size, len(batch))

    def append(self, rows: Tensor) -> None:
        if self.whole is not None:
            count = sum(map(len, self.pieces))
            self.whole[count : count + len(rows)] = rows
        self.pieces.append(rows)

    def since(self, start: int) -> Tensor:
        """All rows so far, from the one numbered ``start``."""
        if self.whole is None:
            return torch.cat(self.pieces)[start:]
        return self.whole[start : sum(map(len, self.pieces))]
