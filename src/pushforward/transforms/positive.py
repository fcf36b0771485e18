"""From positive numbers, or numbers above a bound, to the real line: the logarithm and the inverse softplus."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from pushforward.domain import Domain
from pushforward.errors import OptionError
from pushforward.events import Shape, sum_event
from pushforward.noise import NoiseValue
from pushforward.support import zero_outside
from pushforward.transforms.base import Transform

# Multiple of the smallest number, where a slope is 1e32 in float32 and may be multiplied without overflow.
_STEEP = 2.0**20


class _HalfLine(Transform):
    """A bijection of the numbers above ``low`` to the real line."""

    def __init__(self, event_shape: Shape, low: float = 0.0) -> None:
        super().__init__()
        if not math.isfinite(low):
            raise OptionError(f"low must be a finite number, got {low}")
        self.data_shape = self.latent_shape = tuple(event_shape)
        self.low = float(low)
        self.domain = Domain("real", self.low)


class Log(_HalfLine):
    """The logarithm ``z = log(x - low)`` for ``x > low``, for values whose ratios matter. At or below ``low`` the
    density is 0.

    A latent beyond the logarithm of the dtype's largest number goes to that number.

    >>> import torch
    >>> from pushforward.transforms import Log
    >>> Log((1,)).to_latent(torch.tensor([[1.0]]))
    (tensor([[0.]]), tensor([0.]))
    """

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        distance = x - self.low
        z = distance.clamp(min=torch.finfo(x.dtype).tiny).log()
        return z, sum_event(zero_outside(distance > 0, -z, distance))

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        # Half a unit below the logarithm of the largest number: rounding must not lead beyond it.
        z = z.clamp(max=math.log(torch.finfo(z.dtype).max) - 0.5)
        return self.low + z.exp(), sum_event(z)


class InverseSoftplus(_HalfLine):
    """``z = log(exp(x - low) - 1)`` for ``x > low``: the logarithm near ``low``, the identity far above it.

    At or below ``low`` the density is 0.

    >>> import torch
    >>> from pushforward.transforms import InverseSoftplus
    >>> z, _ = InverseSoftplus((1,)).to_latent(torch.tensor([[1.3133]]))
    >>> round(z.item(), 2)
    1.0
    """

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        distance = x - self.low
        z, log_slope = inverse_softplus(distance)
        return z, sum_event(zero_outside(distance > 0, log_slope, distance))

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        return self.low + softplus(z), sum_event(F.logsigmoid(z))


def softplus(z: Tensor) -> Tensor:
    """``log(1 + exp(z))``, whose log-slope is ``logsigmoid(z)``.

    Not F.softplus, which is the identity above 20, where they still differ in float64.
    """
    return z.clamp(min=0) + torch.log1p((-z.abs()).exp())


def inverse_softplus(distance: Tensor) -> tuple[Tensor, Tensor]:
    """``log(exp(d) - 1)`` and its log-slope; arguments that are not positive count as the smallest positive number."""
    tiny = torch.finfo(distance.dtype).tiny
    safe, far = distance.clamp(min=tiny), distance.clamp(min=_STEEP * tiny)
    # log(1 - exp(-d)), the log of 1 / slope. Very near to 0 its derivative would overflow in a product, and is set to
    # 0.
    steep = (-torch.expm1(-safe.detach())).log()
    log_slope = -torch.where(distance < _STEEP * tiny, steep, (-torch.expm1(-far)).log())
    return safe - log_slope, log_slope
