"""Normal noise as logistic noise, whose tails are heavy enough for what is bounded by a sigmoid or a softplus."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

# A tail of the logistic distribution of e^-80 is still a normal number in float32.
_FAR = 80.0


def as_logistic(noise: Tensor) -> Tensor:
    """A standard normal's value as the standard logistic's of the same rank."""
    logistic: Tensor = torch.special.log_ndtr(noise) - torch.special.log_ndtr(-noise)
    return logistic


def as_normal(logistic: Tensor) -> Tensor:
    """The inverse of `as_logistic`, by the smaller of the two tails, in which no digits are lost."""
    size = logistic.abs()
    near = torch.special.ndtri((-size).sigmoid().clamp(min=torch.finfo(size.dtype).tiny))
    # Beyond what a probability can say: from the leading terms of its log, a few of Newton's steps.
    goal = size.clamp(min=_FAR)
    far = -(2 * goal - (4 * math.pi * goal).log()).sqrt()
    for _ in range(3):
        far = far + (torch.special.log_ndtr(far) + goal) / (far + 1 / far)
    return -logistic.sign() * torch.where(size < _FAR, near, far)


def log_logistic(v: Tensor) -> Tensor:
    """The log-density of the standard logistic distribution, which is also the log-slope of the sigmoid."""
    return -F.softplus(v) - F.softplus(-v)
