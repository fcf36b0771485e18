"""Mean and standard deviation of each channel, for data-dependent initialisation."""

from __future__ import annotations

import torch
from torch import Tensor

from pushforward.precision import in_float64


def channel_moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel of ``(B, C, ...)``, in float64; 1 as the deviation of a constant.

    On the CPU where the device of ``x`` has no float64. A channel counts as constant where its deviation is below the
    resolution of the dtype of ``x`` at its mean.
    """
    rows = in_float64(channel_rows(x))
    # From the first value: of a constant the differences are then exactly 0.
    first = rows[:, :1].clone()
    rows = rows - first
    mean = rows.mean(1, keepdim=True)
    rows = rows - mean
    # Squares of very small or very large numbers leave even float64's range: they are scaled first.
    size = rows.abs().amax(1, keepdim=True)
    unit = torch.where(size > 0, size, 1.0)
    std = ((rows / unit).square().mean(1, keepdim=True).sqrt() * unit)[:, 0]
    mean = (first + mean)[:, 0]
    varies = (std > torch.finfo(x.dtype).eps * mean.abs()) & (std.to(x.dtype) > 0)
    return mean, torch.where(varies, std, 1.0)


def channel_rows(x: Tensor) -> Tensor:
    """All values of each channel of ``(B, C, ...)``: ``(C, B * positions)``."""
    return x.movedim(1, 0).flatten(1)
