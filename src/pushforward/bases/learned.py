"""Bases of independent coordinates with learned parameters: normal, normal given a context, Student's t."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pushforward.bases.base import Base, Source, required_context
from pushforward.bases.torch_base import student_cdf
from pushforward.errors import OptionError
from pushforward.events import Shape, log_dtype, sum_event
from pushforward.maps.affine import DENSITY_LIMIT, SoftClampScale
from pushforward.nets.mlp import MLP


class _Normal(Base):
    """Independent normal coordinates."""

    @abstractmethod
    def _moments(self, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean and log-scale, ``(*event_shape)`` or ``(B, *event_shape)`` each."""

    def log_prob(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        mean, log_scale = self._moments(context)
        each = -0.5 * ((z - mean) * (-log_scale).exp()).square() - log_scale - 0.5 * math.log(2 * math.pi)
        return sum_event(each)

    def _draw(self, n: int, context: Tensor | None, temperature: float, source: Source) -> Tensor:
        mean, log_scale = self._moments(context)
        noise = source.normal(n, *self.event_shape)
        return source.take(mean) + temperature * source.take(log_scale.exp()) * noise

    def cumulative(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        mean, log_scale = self._moments(context)
        probabilities: Tensor = torch.special.ndtr((z - mean) * (-log_scale).exp())
        return probabilities


class DiagonalNormal(_Normal):
    """Independent normal coordinates with a learned mean and log-scale each; starts at the standard normal.

    >>> from pushforward.bases import DiagonalNormal
    >>> sum(p.numel() for p in DiagonalNormal((3,)).parameters())
    6
    """

    def __init__(self, event_shape: Shape) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)
        self.mean = nn.Parameter(torch.zeros(self.event_shape))
        self.raw_scale = nn.Parameter(torch.zeros(self.event_shape))
        self.scale = SoftClampScale(DENSITY_LIMIT)

    def _moments(self, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return self.mean, self.scale(self.raw_scale)


class ConditionalNormal(_Normal):
    """Independent normal coordinates whose means and log-scales a net computes from the context.

    context_dim: number of values of a context, at least one. Starts at the standard normal for every context.

    >>> import torch
    >>> from pushforward.bases import ConditionalNormal
    >>> base = ConditionalNormal((2,), context_dim=3)
    >>> base.sample(4, torch.zeros(4, 3)).shape
    torch.Size([4, 2])
    """

    conditional = True

    def __init__(self, event_shape: Shape, context_dim: int, hidden: Sequence[int] = (64, 64)) -> None:
        super().__init__()
        if context_dim < 1:
            raise OptionError(f"a conditional base needs a context: context_dim of at least 1, got {context_dim}")
        self.event_shape = tuple(event_shape)
        self.net = MLP(0, 2 * math.prod(self.event_shape), hidden, context_dim, activation="silu")
        self.scale = SoftClampScale(DENSITY_LIMIT)

    def _moments(self, context: Tensor | None) -> tuple[Tensor, Tensor]:
        context = required_context(context, self).flatten(1)
        raw = self.net(context[:, :0], context).to(log_dtype(context))
        mean, raw_scale = raw.reshape(-1, 2, *self.event_shape).unbind(1)
        return mean, self.scale(raw_scale)


class StudentT(Base):
    """Independent Student's t coordinates with learned location, scale and degrees of freedom: heavy tails, learned.

    df: degrees of freedom at the start; minimum: their lower bound (1 is the Cauchy distribution, which has no mean).
    A flow whose transforms are Lipschitz keeps the tails of its base: heavy-tailed data need such a base.

    Source: Jaini, Kobyzev, Yu & Brubaker, "Tails of Lipschitz triangular flows", 2020; Laszkiewicz, Lederer & Fischer,
    "Marginal tail-adaptive normalizing flows", 2022.

    >>> import torch
    >>> from pushforward.bases import StudentT
    >>> round(StudentT((1,), df=3.0).log_prob(torch.zeros(1, 1)).item(), 4)
    -1.0009
    """

    def __init__(self, event_shape: Shape, df: float = 10.0, minimum: float = 1.0) -> None:
        super().__init__()
        if not 0 < minimum < df < math.inf:
            raise OptionError(f"degrees of freedom need 0 < minimum < df, got minimum={minimum} and df={df}")
        self.event_shape, self.minimum = tuple(event_shape), float(minimum)
        self.location = nn.Parameter(torch.zeros(self.event_shape))
        self.raw_scale = nn.Parameter(torch.zeros(self.event_shape))
        excess = df - minimum
        self.raw_freedom = nn.Parameter(torch.full(self.event_shape, excess + math.log(-math.expm1(-excess))))
        self.scale = SoftClampScale(DENSITY_LIMIT)

    @property
    def df(self) -> Tensor:
        """Degrees of freedom of each coordinate, above ``minimum``."""
        return self.minimum + F.softplus(self.raw_freedom)

    def log_prob(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        df, log_scale = self.df, self.scale(self.raw_scale)
        y = (z - self.location) * (-log_scale).exp() / df.sqrt()
        constant = torch.lgamma((df + 1) / 2) - torch.lgamma(df / 2) - 0.5 * (df * math.pi).log()
        # log(1 + y^2), whose square would overflow where the logarithm is still small.
        tail = 2 * torch.hypot(torch.ones_like(y), y).log()
        return sum_event(constant - log_scale - (df + 1) / 2 * tail)

    def _draw(self, n: int, context: Tensor | None, temperature: float, source: Source) -> Tensor:
        df = source.take(self.df).expand(n, *self.event_shape)
        # A normal over the root of a gamma variable; torch.distributions.Gamma does not take a generator.
        gamma: Tensor = torch._standard_gamma(df / 2, generator=source.generator)
        student = source.normal(n, *self.event_shape) * (df / 2 / gamma).sqrt()
        return source.take(self.location) + temperature * source.take(self.scale(self.raw_scale).exp()) * student

    def cumulative(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return student_cdf((z - self.location) * (-self.scale(self.raw_scale)).exp(), self.df)
