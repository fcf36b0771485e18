"""What stands between data as the user has them and the real line: dequantisation, logit, reshaping, the identity."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from pushforward.domain import REAL, UNIT, Domain, integers
from pushforward.errors import OptionError
from pushforward.support import zero_outside
from pushforward.transform import Noise, NoiseValue, Shape, Transform, sum_event, zero_log_term


class Identity(Transform):
    """Leaves everything as it is: real numbers, or what else lies in ``domain``."""

    def __init__(self, event_shape: Shape, domain: Domain = REAL) -> None:
        super().__init__()
        self.data_shape = self.latent_shape = tuple(event_shape)
        self.domain = self.codomain = domain

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        return x, zero_log_term(x)

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        return z, zero_log_term(z)


class Flatten(Transform):
    """An event of any shape as one vector."""

    def __init__(self, event_shape: Shape) -> None:
        super().__init__()
        self.data_shape, self.latent_shape = tuple(event_shape), (math.prod(event_shape),)

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        return x.reshape(x.shape[0], *self.latent_shape), zero_log_term(x)

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        return z.reshape(z.shape[0], *self.data_shape), zero_log_term(z)


class Dequantize(Transform):
    """Uniform dequantisation: integers ``0 .. levels - 1`` to ``y = (x + u) / levels`` in [0, 1], u uniform on [0, 1).

    With it ``log_prob`` of integer data is a one-draw lower bound on their log-probability; the log term is
    ``-D ln levels``, so that bits/dim is ``-log_prob / (D ln 2)`` with nothing added. Data that are not such integers
    have probability 0. On the way back values outside [0, 1] go to the nearest level.

    Source: Theis, van den Oord & Bethge, "A note on the evaluation of generative models", 2016, section 3.1.
    """

    kind = "bound"
    codomain = UNIT
    clamps = True

    def __init__(self, event_shape: Shape, levels: int) -> None:
        super().__init__()
        if levels < 2:
            raise OptionError(f"levels must be at least 2, got {levels}")
        self.levels = levels
        self.data_shape = self.latent_shape = tuple(event_shape)
        self.domain = integers(levels)
        self.noise_to_latent = Noise(self.data_shape, "uniform")
        self._log_levels = math.prod(event_shape) * math.log(levels)

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        if not isinstance(noise, Tensor):
            raise OptionError("Dequantize needs its noise, one uniform number per coordinate, in to_latent")
        valid = (x >= 0) & (x <= self.levels - 1) & (x == x.round())
        log_term = zero_log_term(x) - self._log_levels
        # NaN stays NaN; anything else that is not a level has probability 0.
        log_term = log_term + sum_event(zero_outside(valid, torch.zeros_like(x, dtype=log_term.dtype), x))
        return (x.clamp(0, self.levels - 1) + noise) / self.levels, log_term

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        x = (z * self.levels).floor().clamp(0, self.levels - 1)
        return x, zero_log_term(z) + self._log_levels

    def path_noise(self, x: Tensor, z: Tensor, context: Tensor | None = None) -> Tensor:
        return z * self.levels - x


class Logit(Transform):
    """``z = logit(alpha + (1 - 2 alpha) y)`` for y in [0, 1], with 0 <= alpha < 1/2.

    Its domain reaches a little beyond [0, 1], to where the argument of the logit is 0 or 1; outside it the density is
    0. Log term: ``sum softplus(z) + softplus(-z) + ln(1 - 2 alpha)``. Source: Real NVP, section 4.1, with the
    ``1 - 2 alpha`` of the authors' code in the place of the paper's ``1 - alpha``.
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
