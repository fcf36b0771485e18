"""Periodic data of any period as angles."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pushforward.domain import CIRCLE, Domain
from pushforward.domain_values import wrapped
from pushforward.errors import OptionError
from pushforward.events import Shape, sum_event, zero_log_term
from pushforward.noise import NoiseValue
from pushforward.support import wrap_angle, zero_outside
from pushforward.transforms.base import Transform


class Angles(Transform):
    """A rescaling of periodic values from ``low`` to ``high`` to angles in [-pi, pi).

    ``high`` itself is accepted too and is the same angle as ``low``. Outside of them the density is 0, because it is a
    density on one period. wrap: reduce numbers outside the period modulo the period instead.

    >>> import torch
    >>> from pushforward.transforms import Angles
    >>> hours = Angles((1,), low=0.0, high=24.0)
    >>> hours.to_latent(torch.tensor([[12.0], [18.0]]))[0].flatten()
    tensor([0.0000, 1.5708])
    """

    codomain = CIRCLE

    def __init__(self, event_shape: Shape, low: float = -math.pi, high: float = math.pi, wrap: bool = False) -> None:
        super().__init__()
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise OptionError(f"a period needs finite ends with low < high, got low={low} and high={high}")
        self.data_shape = self.latent_shape = tuple(event_shape)
        self.low, self.high = float(low), float(high)
        self.domain = Domain("circle", self.low, self.high, wraps=wrap)
        self._log_slope = math.prod(event_shape) * math.log(2 * math.pi / (high - low))

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        given, inside = x, (x >= self.low) & (x <= self.high)
        if self.domain.wraps:
            inside = x.isfinite()
            x = wrapped(torch.where(inside, x, self.low), self.low, self.high)
        fraction = (x.clamp(self.low, self.high) - self.low) / (self.high - self.low)
        z = (math.pi * (2 * fraction - 1)).clamp(CIRCLE.low, CIRCLE.high)
        return z, zero_log_term(x) + self._log_slope + sum_event(zero_outside(inside, torch.zeros_like(z), given))

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        fraction = (wrap_angle(z) / math.pi + 1) / 2
        x = self.low + (self.high - self.low) * fraction
        return x.clamp(self.low, self.high), zero_log_term(z) - self._log_slope
