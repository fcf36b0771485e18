"""Circular features: a net sees angles by their cosine and sine, which agree where the circle closes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pushforward.errors import OptionError
from pushforward.module_state import CheckedState, once_each


class CircularFeatures(nn.Module, CheckedState):
    """Calls ``net`` with each of the coordinates ``circular`` of its input replaced by its cosine and its sine.

    features: how many coordinates the input ``(B, features)`` has; ``net`` sees ``(B, seen)``: first the others in
    their order, then all cosines, then all sines.
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
