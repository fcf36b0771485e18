"""Mixtures of Gaussians of one coordinate: density, distribution function, quantiles, draws and moments.

params: ``(..., 3 K)``, K logits of the weights, K means and K raw log-scales, as a net's last layer gives them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from pushforward.maps import SoftClampScale

# The log-scale is raw / (1 + |raw| / 7): no component is narrower than e^-7 of the column's own unit.
LOG_SCALE = SoftClampScale(7.0)
_HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)
# Standard deviations beyond the outermost component that a quantile's bracket starts from, and steps of bisection.
_REACH, _BISECTIONS = 40.0, 80


class MixtureHead(NamedTuple):
    """Log-weights, means and log-scales of K components, each ``(..., K)``."""

    log_weights: Tensor
    means: Tensor
    log_scales: Tensor

    @classmethod
    def of(cls, params: Tensor) -> MixtureHead:
        """The mixture that unconstrained ``params: (..., 3 K)`` describe."""
        logits, means, raw = params.chunk(3, -1)
        return cls(logits.log_softmax(-1), means, LOG_SCALE(raw))

    def expand(self, rows: int) -> MixtureHead:
        """One mixture ``(1, K)`` as that of each of so many rows."""
        return MixtureHead(*(part.expand(rows, -1) for part in self))

    def log_density(self, value: Tensor) -> Tensor:
        """The log-density of ``value: (...)``."""
        scaled = (value[..., None] - self.means) * (-self.log_scales).exp()
        terms = self.log_weights - self.log_scales - 0.5 * scaled.square()
        return terms.logsumexp(-1) - _HALF_LOG_TAU

    def log_tails(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """The logs of the probabilities below and above ``value: (...)``."""
        scaled = (value[..., None] - self.means) * (-self.log_scales).exp()
        below = (self.log_weights + torch.special.log_ndtr(scaled)).logsumexp(-1)
        return below, (self.log_weights + torch.special.log_ndtr(-scaled)).logsumexp(-1)

    def quantile(self, log_below: Tensor, log_above: Tensor) -> Tensor:
        """The value with these log-probabilities below and above it, by bisection of the smaller of the two."""
        scales = self.log_scales.exp()
        low = (self.means - _REACH * scales).amin(-1)
        high = (self.means + _REACH * scales).amax(-1)
        for _ in range(_BISECTIONS):
            middle = low + (high - low) / 2
            below, above = self.log_tails(middle)
            short = torch.where(log_below < log_above, below < log_below, above > log_above)
            low, high = torch.where(short, middle, low), torch.where(short, high, middle)
        return low + (high - low) / 2

    def sample(self, generator: torch.Generator | None) -> Tensor:
        """One draw of each mixture, ``(...)``."""
        flat = self.log_weights.exp().reshape(-1, self.log_weights.shape[-1])
        chosen = torch.multinomial(flat, 1, generator=generator).reshape(*self.means.shape[:-1], 1)
        means, log_scales = (part.gather(-1, chosen).squeeze(-1) for part in (self.means, self.log_scales))
        noise = torch.randn(means.shape, generator=generator, dtype=means.dtype)
        return means + log_scales.exp() * noise
