"""From vectors with bounded coordinates to real ones: a logarithm or a logit for each coordinate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pushforward.domain import Domain, product
from pushforward.errors import OptionError
from pushforward.events import sum_event
from pushforward.noise import NoiseValue
from pushforward.support import zero_outside
from pushforward.transforms.base import Transform


class Bounds(Transform):
    """Coordinates between bounds, each to the real line; the density is 0 at the bounds and beyond.

    low, high: the bounds of each coordinate, infinite where it has none. With both, ``z = log((x - low) / (high -
    x))``; with one, ``log(x - low)`` or ``-log(high - x)``; with none, x itself. All of them increase. `to_data` never
    reaches a bound, also where its dtype would round to it. Raises OptionError for bounds that are not in order.

    >>> import torch
    >>> from pushforward.transforms import Bounds
    >>> step = Bounds([0.0, 0.0], [1.0, float("inf")])
    >>> step.to_latent(torch.tensor([[0.5, 1.0]]))[0]
    tensor([[0., 0.]])
    """

    def __init__(self, low: Sequence[float], high: Sequence[float]) -> None:
        super().__init__()
        if not len(low) or len(low) != len(high):
            raise OptionError(f"a low and a high for each coordinate expected, got {len(low)} and {len(high)}")
        for i, (a, b) in enumerate(zip(low, high, strict=True)):
            if not a < b:
                raise OptionError(f"the low bound of coordinate {i} must be below the high one, got {a} and {b}")
        self._ends = tuple(map(float, low)), tuple(map(float, high))
        self.data_shape = self.latent_shape = (len(low),)
        self.domain = product([Domain("real", a, b) for a, b in zip(*self._ends, strict=True)])
        self.low, self.high = (nn.Buffer(torch.tensor(ends), persistent=False) for ends in self._ends)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        # From the options again: a conversion to float64 keeps the rounding of float32.
        for name, ends in zip(("low", "high"), self._ends, strict=True):
            setattr(self, name, getattr(self, name).new_tensor(ends))
        return self

    def extra_repr(self) -> str:
        return ", ".join(f"({a:g}, {b:g})" for a, b in zip(*self._ends, strict=True))

    def _within(self, x: Tensor) -> Tensor:
        """``x`` with values at the bounds and beyond moved to the next ones inside."""
        tiny = torch.finfo(x.dtype).tiny
        lowest = torch.maximum(self.low.nextafter(self.high), self.low + tiny)
        highest = torch.minimum(self.high.nextafter(self.low), self.high - tiny)
        return torch.clamp(x, lowest, highest)

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        below, above = self.low.isfinite(), self.high.isfinite()
        inside = self._within(x)
        from_low = torch.where(below, inside - torch.where(below, self.low, 0.0), 1.0).log()
        from_high = torch.where(above, torch.where(above, self.high, 0.0) - inside, 1.0).log()
        z = torch.where(below | above, from_low - from_high, x)
        log_slope = self._log_width() - from_low - from_high
        return z, sum_event(zero_outside((x > self.low) & (x < self.high), log_slope, x))

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        below, above = self.low.isfinite(), self.high.isfinite()
        both, low, high = below & above, torch.where(below, self.low, 0.0), torch.where(above, self.high, 0.0)
        # Half a unit below the logarithm of the largest number: rounding must not lead beyond it.
        power = torch.where(above, -z, z).clamp(max=math.log(torch.finfo(z.dtype).max) - 0.5).exp()
        # From the nearer bound, where floating-point numbers are dense.
        part = (high - low) * (-z.abs()).sigmoid()
        between = torch.where(z < 0, low + part, high - part)
        x = torch.where(both, between, torch.where(above, high - power, low + power))
        logistic = F.logsigmoid(z) + F.logsigmoid(-z)
        log_slope = self._log_width() + torch.where(both, logistic, torch.where(above, -z, z))
        bounded = below | above
        x, log_slope = torch.where(bounded, self._within(x), z), torch.where(bounded, log_slope, 0.0)
        return x, sum_event(log_slope)

    def _log_width(self) -> Tensor:
        """The log of the distance of the bounds where there are two, 0 elsewhere."""
        both = self.low.isfinite() & self.high.isfinite()
        return torch.where(both, torch.where(both, self.high - self.low, 1.0), 1.0).log()
