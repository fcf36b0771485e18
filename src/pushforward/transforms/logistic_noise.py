"""Normal noise as logistic noise, whose tails are heavy enough for values that a sigmoid or a softplus bounds."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

# A tail of the logistic distribution of e^-80 is still a normal number in float32.
_FAR = 80.0


def as_logistic(noise: Tensor) -> Tensor:
    """Values of a standard logistic, of the same cumulative probability as values of a standard normal."""
    logistic: Tensor = torch.special.log_ndtr(noise) - torch.special.log_ndtr(-noise)
    return logistic


def as_normal(logistic: Tensor) -> Tensor:
    """The inverse of `as_logistic`, from the smaller of the two tails, which is accurate."""
    size = logistic.abs()
    near = torch.special.ndtri((-size).sigmoid().clamp(min=torch.finfo(size.dtype).tiny))
    # Where a probability would underflow: a few Newton steps from the leading terms of its logarithm.
    goal = size.clamp(min=_FAR)
    far = -(2 * goal - (4 * math.pi * goal).log()).sqrt()
    for _ in range(3):
        far = far + (torch.special.log_ndtr(far) + goal) / (far + 1 / far)
    return -logistic.sign() * torch.where(size < _FAR, near, far)


def log_logistic(v: Tensor) -> Tensor:
    """The log-density of the standard logistic distribution, which is also the log-slope of the sigmoid."""
    return -F.softplus(v) - F.softplus(-v)
