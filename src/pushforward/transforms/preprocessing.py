"""Preprocessing: the identity, flattening, and the logit of bounded data."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from pushforward.domain import REAL, UNIT, Domain
from pushforward.errors import OptionError
from pushforward.events import Shape, sum_event, zero_log_term
from pushforward.noise import NoiseValue
from pushforward.support import zero_outside
from pushforward.transforms.base import Transform


class Identity(Transform):
    """The identity on real numbers, or on another ``domain``.

    >>> import torch
    >>> from pushforward.transforms import Identity
    >>> Identity((2,)).to_latent(torch.ones(1, 2))
    (tensor([[1., 1.]]), tensor([0.]))
    """

    def __init__(self, event_shape: Shape, domain: Domain = REAL) -> None:
        super().__init__()
        self.data_shape = self.latent_shape = tuple(event_shape)
        self.domain = self.codomain = domain

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        return x, zero_log_term(x)

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        return z, zero_log_term(z)


class Flatten(Transform):
    """Flattening: an event of any shape becomes one vector.

    >>> import torch
    >>> from pushforward.transforms import Flatten
    >>> Flatten((1, 4, 4)).to_latent(torch.zeros(2, 1, 4, 4))[0].shape
    torch.Size([2, 16])
    """

    def __init__(self, event_shape: Shape) -> None:
        super().__init__()
        self.data_shape, self.latent_shape = tuple(event_shape), (math.prod(event_shape),)

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        return x.reshape(x.shape[0], *self.latent_shape), zero_log_term(x)

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        return z.reshape(z.shape[0], *self.data_shape), zero_log_term(z)


class Logit(Transform):
    """The logit ``z = logit(alpha + (1 - 2 alpha) y)`` for y in [0, 1], with 0 <= alpha < 1/2.

    Its domain reaches a little beyond [0, 1], to where the argument of the logit is 0 or 1; outside it the density is
    0. Log term: ``sum softplus(z) + softplus(-z) + ln(1 - 2 alpha)``. Source: Real NVP, section 4.1, with the ``1 - 2
    alpha`` of the authors' code instead of the paper's ``1 - alpha``.

    >>> import torch
    >>> from pushforward.transforms import Logit
    >>> Logit((1,)).to_latent(torch.tensor([[0.5]]))[0]
    tensor([[0.]])
    """

    def __init__(self, event_shape: Shape, alpha: float = 0.05) -> None:
        super().__init__()
        if not 0 <= alpha < 0.5:
            raise OptionError(f"alpha must be in [0, 0.5), got {alpha}")
        self.alpha = float(alpha)
        self.data_shape = self.latent_shape = tuple(event_shape)
        edge = alpha / (1 - 2 * alpha)
        self.domain = UNIT if alpha == 0 else Domain("real", -edge, 1 + edge)

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        s = self.alpha + (1 - 2 * self.alpha) * x
        inside = (s > 0) & (s < 1)
        info = torch.finfo(s.dtype)
        z = torch.logit(s.clamp(info.tiny, 1 - info.eps / 2))
        log_slope = F.softplus(z) + F.softplus(-z) + math.log1p(-2 * self.alpha)
        return z, sum_event(zero_outside(inside, log_slope, x))

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        x = (z.sigmoid() - self.alpha) / (1 - 2 * self.alpha)
        log_slope = -F.softplus(z) - F.softplus(-z) - math.log1p(-2 * self.alpha)
        return x, sum_event(log_slope)
