"""Circular features: the cosine and sine of angles as inputs of a net, which agree where the circle closes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pushforward.errors import OptionError
from pushforward.module_state import CheckedState, once_each


class CircularFeatures(nn.Module, CheckedState):
    """A net whose input has each of the coordinates ``circular`` replaced by its cosine and its sine.

    features: number of coordinates of the input ``(B, features)``. The input of ``net`` has first the other coordinates
    in their order, then all cosines, then all sines (see `circular_inputs`).
    """

    def __init__(self, features: int, circular: Sequence[int], net: nn.Module) -> None:
        super().__init__()
        if len(set(circular)) != len(circular) or any(not 0 <= i < features for i in circular):
            raise OptionError(f"circular coordinates must be distinct and within 0..{features - 1}, got {circular}")
        chosen = set(circular)
        others = [i for i in range(features) if i not in chosen]
        self.net = net
        # Saved with a model: which of the kept coordinates are circular may have been drawn at random.
        self._circular = nn.Buffer(torch.tensor(list(circular), dtype=torch.long))
        self._others = nn.Buffer(torch.tensor(others, dtype=torch.long))

    def state_problem(self) -> str | None:
        return once_each(len(self._circular) + len(self._others), self._circular, self._others)

    def forward(self, h: Tensor, context: Tensor | None = None) -> Tensor:
        angles = h.index_select(1, self._circular)
        out: Tensor = self.net(torch.cat([h.index_select(1, self._others), angles.cos(), angles.sin()], 1), context)
        return out


def circular_inputs(features: int, circular: int) -> int:
    """The number of inputs of a net behind `CircularFeatures`."""
    return features + circular
