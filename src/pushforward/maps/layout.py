"""Memory layout of vectors for element-wise maps: the batch axis last, so that reads are consecutive."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from torch import Tensor

# A map's forward or its inverse: values and params to values and log-slopes.
Direction: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def batch_last(direction: Direction, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
    """A map's direction at ``x: (B, *event)`` with ``params: (P, B, *event)``, for vectors with the batch axis last.

    Nets on vectors write their output with the batch innermost, and a map then reads each parameter in one stretch.
    """
    if x.ndim != 2:
        return direction(x, params)
    y, log_slope = direction(x.t().contiguous(), params.transpose(1, 2).contiguous())
    return y.t(), log_slope.t()
