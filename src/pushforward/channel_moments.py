"""Mean and standard deviation of each channel, for data-dependent initialisation."""

from __future__ import annotations

import torch
from torch import Tensor


def channel_moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel of ``(B, C, ...)``, float64; 1 as the deviation of a constant one."""
    rows = channel_rows(x).double()
    var, mean = torch.var_mean(rows, 1, correction=0)
    # Rounding makes the variance of a constant a tiny positive number: judge it against the size of the values.
    floor = (mean.abs().clamp(min=1e-30) * 1e-7).square()
    return mean, torch.where(var > floor, var, 1.0).sqrt()


def channel_rows(x: Tensor) -> Tensor:
    """All values of each channel of ``(B, C, ...)``: ``(C, B * positions)``."""
    return x.movedim(1, 0).flatten(1)
