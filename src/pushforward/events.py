"""Events, each the content of one row of a batch: their shape, and sums over them."""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor

Shape: TypeAlias = tuple[int, ...]


def zero_log_term(x: Tensor) -> Tensor:
    """A log term of 0 for each row of ``x: (B, ...)``, at least float32 also where ``x`` is half precision."""
    return x.new_zeros(x.shape[0], dtype=log_dtype(x))


def log_dtype(x: Tensor) -> torch.dtype:
    """The dtype that log terms of ``x`` accumulate in: its own, or float32 where that is narrower."""
    return torch.promote_types(x.dtype, torch.float32) if x.is_floating_point() else torch.get_default_dtype()


def leading_axis(values: Tensor, ndim: int) -> Tensor:
    """``values: (n,)`` as ``(n, 1, ..., 1)`` of ``ndim`` axes, to broadcast along the first axis of another tensor."""
    return values.reshape(-1, *(1,) * (ndim - 1))


def repeat_rows(values: Tensor, times: int) -> Tensor:
    """``values: (B, ...)`` repeated: ``(times * B, ...)``, the whole batch, ``times`` times in sequence."""
    return values.repeat(times, *(1,) * (values.ndim - 1))


def sum_event(log_slope: Tensor) -> Tensor:
    """Sum ``(B, *event)`` over the event to ``(B,)``, accumulating in at least float32."""
    if log_slope.ndim == 1:
        return log_slope.to(log_dtype(log_slope))
    return log_slope.flatten(1).sum(1, dtype=log_dtype(log_slope))
