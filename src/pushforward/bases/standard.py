"""Bases without parameters: the standard normal, the standard logistic, and a uniform box."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from pushforward.bases.base import Base, Source
from pushforward.domain import UNIT, Domain
from pushforward.errors import OptionError
from pushforward.events import Shape, sum_event
from pushforward.support import zero_outside


class StandardNormal(Base):
    """The normal distribution with zero mean and unit covariance.

    >>> import torch
    >>> from pushforward.bases import StandardNormal
    >>> round(StandardNormal((2,)).log_prob(torch.zeros(1, 2)).item(), 4)
    -1.8379
    """

    label = "standard normal"

    def __init__(self, event_shape: Shape) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)

    def log_prob(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return sum_event(-0.5 * z.square() - 0.5 * math.log(2 * math.pi))

    def _draw(self, n: int, context: Tensor | None, temperature: float, source: Source) -> Tensor:
        return temperature * source.normal(n, *self.event_shape)

    def cumulative(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        probabilities: Tensor = torch.special.ndtr(z)
        return probabilities

    def quantiles(self, levels: Tensor) -> Tensor | None:
        values: Tensor = torch.special.ndtri(levels)
        return values


class StandardLogistic(Base):
    """Independent standard logistic coordinates, the prior of NICE on MNIST.

    Source: Dinh, Krueger & Bengio, "NICE: Non-linear Independent Components Estimation", 2015, section 3.4.

    >>> import torch
    >>> from pushforward.bases import StandardLogistic
    >>> round(StandardLogistic((1,)).log_prob(torch.zeros(1, 1)).item(), 4)
    -1.3863
    """

    label = "standard logistic"

    def __init__(self, event_shape: Shape) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)

    def log_prob(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        # Even in z: written with |z|, it is accurate in both tails.
        z = z.abs()
        return sum_event(-z - 2 * F.softplus(-z))

    def _draw(self, n: int, context: Tensor | None, temperature: float, source: Source) -> Tensor:
        # u is a multiple of eps / 2 below 1: 0 represents the numbers up to the next multiple, not the far tail.
        u = source.uniform(n, *self.event_shape).clamp(min=torch.finfo(source.dtype).eps / 4)
        return temperature * (u.log() - torch.log1p(-u))

    def cumulative(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return z.sigmoid()

    def quantiles(self, levels: Tensor) -> Tensor | None:
        return levels.logit()


class UniformBox(Base):
    """The uniform distribution on the box ``(low, high)`` in every coordinate.

    >>> import torch
    >>> from pushforward.bases import UniformBox
    >>> UniformBox((1,), low=0.0, high=2.0).log_prob(torch.tensor([[1.0], [3.0]])).exp()
    tensor([0.5000, 0.0000])
    """

    label = "uniform"
    tempered = False

    def __init__(self, event_shape: Shape, low: float = 0.0, high: float = 1.0) -> None:
        super().__init__()
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise OptionError(f"a box needs finite ends with low < high, got low={low} and high={high}")
        self.event_shape = tuple(event_shape)
        self.low, self.high = float(low), float(high)
        self.support = UNIT if (low, high) == (0.0, 1.0) else Domain("real", self.low, self.high)

    def log_prob(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        level = torch.full_like(z, -math.log(self.high - self.low))
        return sum_event(zero_outside((z >= self.low) & (z <= self.high), level, z))

    def _draw(self, n: int, context: Tensor | None, temperature: float, source: Source) -> Tensor:
        return self.low + (self.high - self.low) * source.uniform(n, *self.event_shape)

    def cumulative(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return ((z - self.low) / (self.high - self.low)).clamp(0, 1)

    def quantiles(self, levels: Tensor) -> Tensor | None:
        return self.low + (self.high - self.low) * levels

    def to_unbounded(self, z: Tensor) -> Tensor:
        # Normal scores.
        eps = torch.finfo(z.dtype).eps
        scores: Tensor = torch.special.ndtri(self.cumulative(z).clamp(eps, 1 - eps))
        return scores

    def from_unbounded(self, y: Tensor) -> Tensor:
        levels: Tensor = torch.special.ndtr(y)
        return self.low + (self.high - self.low) * levels
