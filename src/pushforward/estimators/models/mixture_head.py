"""Mixtures of Gaussians of one coordinate: density, distribution function, quantiles, draws and moments.

params: ``(..., 3 K)``, K logits of the weights, K means and K raw log-scales, as a net's last layer gives them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from pushforward.maps import SoftClampScale

# The log-scale is raw / (1 + |raw| / 7): no component is narrower than e^-7 of the column's own unit.
LOG_SCALE = SoftClampScale(7.0)
_HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)
# Standard deviations beyond the outermost component that a quantile's bracket starts from, and steps of its search.
_REACH, _MOST_STEPS = 40.0, 100
# The width of an interval, in deviations of a component, over which its density is constant.
_NARROW = 1e-5
# The width of an interval, as a fraction of its ends, that rounding changes by less than a hundredth.
_ROUNDED = 2.0**-44
# A step of Newton's method that is the last, in deviations of the narrowest component.
_SMALL = 1e-7


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

    def at(self, index: Any) -> MixtureHead:
        """The mixtures at an index of the leading axes."""
        return MixtureHead(*(part[index] for part in self))

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

    def log_masses(self, low: Tensor, high: Tensor) -> Tensor:
        """``(..., K)``: the logs of the probabilities of each component and a value between two, ``(...)`` each."""
        first, last = ((end[..., None] - self.means) * (-self.log_scales).exp() for end in (low, high))
        # On the side of the lower tail, where the logarithms of small probabilities are exact.
        above = first > 0
        first, last = torch.where(above, -last, first), torch.where(above, -first, last)
        below, upto = torch.special.log_ndtr(first), torch.special.log_ndtr(last)
        width, middle = last - first, (last + first) / 2
        of_narrow = width.log() - 0.5 * middle.square() - _HALF_LOG_TAU
        masses = torch.where(width < _NARROW, of_narrow, upto + torch.log1p(-(below - upto).exp()))
        return self.log_weights + masses.nan_to_num(nan=-torch.inf, neginf=-torch.inf)

    def log_mass(self, low: Tensor, high: Tensor) -> Tensor:
        """The log of the probability of a value between two, ``(...)`` each."""
        return self.log_masses(low, high).logsumexp(-1)

    def log_density_of_cells(
        self, low: Tensor, high: Tensor, values: Tensor, log_slopes: Tensor, log_width: float
    ) -> Tensor:
        """``(N,)``: the log-probabilities of cells from ``low`` to ``high``, for each unit of their width.

        values, log_slopes: encoded, of a number in each cell. Where a cell is so narrow that rounding moves its ends,
        the density at the value stands for the mean over the cell.
        """
        narrow = high - low < _ROUNDED * low.abs().clamp(min=1.0)
        return torch.where(narrow, self.log_density(values) + log_slopes, self.log_mass(low, high) - log_width)

    def quantile(self, log_below: Tensor, log_above: Tensor) -> Tensor:
        """The value with these log-probabilities below and above it.

        By Newton's method for the log-odds, inside a bracket that is halved where a step does not help.
        """
        shape, size = self.means.shape[:-1], self.means.shape[-1]
        below, above = (part.expand(shape).reshape(-1) for part in (log_below, log_above))
        each = MixtureHead(*(part.reshape(-1, size) for part in self))
        result = torch.empty_like(below)
        places = torch.arange(len(below), device=below.device)
        search = _Search.begin(each, below, above)
        for _ in range(_MOST_STEPS):
            found = search.step()
            result[places] = search.value
            places, search = places[~found], search.of(~found)
            if not len(places):
                break
        return result.reshape(shape)

    def sample(self, generator: torch.Generator | None) -> Tensor:
        """One draw of each mixture, ``(...)``."""
        flat = self.log_weights.exp().reshape(-1, self.log_weights.shape[-1])
        chosen = torch.multinomial(flat, 1, generator=generator).reshape(*self.means.shape[:-1], 1)
        means, log_scales = (part.gather(-1, chosen).squeeze(-1) for part in (self.means, self.log_scales))
        noise = torch.randn(means.shape, generator=generator, dtype=means.dtype)
        return means + log_scales.exp() * noise


@dataclass(eq=False)
class _Search:
    """A search for quantiles: N mixtures, the logs of the probabilities below and above, and values in brackets."""

    head: MixtureHead
    below: Tensor
    above: Tensor
    low: Tensor
    high: Tensor
    value: Tensor
    last: Tensor

    @classmethod
    def begin(cls, head: MixtureHead, below: Tensor, above: Tensor) -> Self:
        reach = _REACH * head.log_scales.exp()
        low, high = (head.means - reach).amin(-1), (head.means + reach).amax(-1)
        return cls(head, below, above, low, high, (head.log_weights.exp() * head.means).sum(-1), high - low)

    def of(self, rows: Tensor) -> Self:
        """The search for some of the quantiles."""
        parts = (self.below, self.above, self.low, self.high, self.value, self.last)
        return type(self)(self.head.at(rows), *(part[rows] for part in parts))

    def step(self) -> Tensor:
        """Move the values once; returns which of them are quantiles now."""
        below, above = self.head.log_tails(self.value)
        # By the smaller probability, which is the more exact one.
        short = torch.where(self.below < self.above, below < self.below, above > self.above)
        self.low, self.high = torch.where(short, self.value, self.low), torch.where(short, self.high, self.value)
        log_slope = self.head.log_density(self.value) - below - above
        newton = self.value - (below - above - self.below + self.above) * (-log_slope).exp()
        stride = (newton - self.value).abs()
        # A NaN is not useful either.
        useful = (newton >= self.low) & (newton <= self.high) & (2 * stride <= self.last)
        moved = torch.where(useful, newton, self.low + (self.high - self.low) / 2)
        self.last = (moved - self.value).abs()
        self.value = moved
        narrowest, eps = self.head.log_scales.amin(-1).exp(), torch.finfo(moved.dtype).eps
        # Newton's step squares the error: after one this small only rounding errors remain.
        return (useful & (self.last <= _SMALL * narrowest)) | (self.last <= 2 * eps * (moved.abs() + narrowest))
