"""The rational-quadratic spline whose knots are stored, for splines that are computed from data and not learned."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pushforward.maps.map import Map
from pushforward.maps.spline import Bin
from pushforward.option_checks import at_least_one

# Smallest width and height of a bin, as a fraction of the interval, so that float32 distinguishes its ends.
LEAST_PART = 1e-5


@dataclass(frozen=True)
class Knots:
    """The knots of monotone curves and the slopes there: ``x``, ``y`` and ``slopes``, each (D, K + 1). ``bends: (D,)``
    marks the coordinates to transform; the others are not changed."""

    x: Tensor
    y: Tensor
    slopes: Tensor
    bends: Tensor


class StoredSpline(Map):
    """Monotone rational-quadratic splines through stored knots, one spline for each of ``features`` coordinates.

    It has no parameters: `store` sets the knots. Before that, and for coordinates without ``bends``, it is exactly the
    identity. Outside the outer knots it continues linearly, with the slopes there.

    >>> from pushforward.maps import StoredSpline
    >>> StoredSpline(features=2, bins=8).n_params
    0
    """

    n_params = 0

    def __init__(self, features: int, bins: int) -> None:
        super().__init__()
        self.bins, self.shape = at_least_one(bins, "bins"), (at_least_one(features, "features"),)
        self.start = nn.Buffer(torch.zeros(0), persistent=False)
        even = torch.linspace(0, 1, bins + 1).expand(2, features, bins + 1)
        # Knots as fractions of the intervals in x and in y, and the slopes there of the curve on the unit square.
        self.knots = nn.Buffer(even.clone())
        self.slopes = nn.Buffer(torch.ones(features, bins + 1))
        self.low = nn.Buffer(torch.zeros(2, features))
        self.size = nn.Buffer(torch.ones(2, features))
        self.bends = nn.Buffer(torch.zeros(features, dtype=torch.bool))

    def extra_repr(self) -> str:
        return f"bins={self.bins}"

    @torch.no_grad()
    def store(self, knots: Knots) -> None:
        """Set the knots, mixed with even ones so that each bin is at least `LEAST_PART` of its interval."""
        both = torch.stack([knots.x, knots.y])
        low, size = both[..., :1], both[..., -1:] - both[..., :1]
        even = torch.linspace(0, 1, self.bins + 1, dtype=both.dtype, device=both.device)
        parts = (1 - self.bins * LEAST_PART) * ((both - low) / size) + self.bins * LEAST_PART * even
        self.knots.copy_(parts)
        self.slopes.copy_(knots.slopes * (size[0] / size[1]))
        self.low.copy_(low[..., 0])
        self.size.copy_(size[..., 0])
        self.bends.copy_(knots.bends)

    def forward(self, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        return self._through(x, 0)

    def inverse(self, y: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        return self._through(y, 1)

    def _through(self, v: Tensor, axis: int) -> tuple[Tensor, Tensor]:
        """From the interval of ``axis`` (0: x, 1: y) to the other one, for ``v: (*, D)``."""
        (low, other_low), (size, other_size) = (
            pair.to(v.dtype).flip(0) if axis else pair.to(v.dtype) for pair in (self.low, self.size)
        )
        t = (v - low) / size
        inner = t.clamp(0, 1)
        rows = inner.movedim(-1, 0).flatten(1).contiguous()
        piece = self._bin(rows, axis)
        u, log_slope = piece.inverse(rows) if axis else piece.forward(rows)
        shape = v.movedim(-1, 0).shape
        u, log_slope = (value.reshape(shape).movedim(0, -1) for value in (u, log_slope))
        # Values outside are clamped to the nearest end and get its log-slope.
        out = other_low + other_size * (u + log_slope.exp() * (t - inner))
        log_slope = log_slope + torch.log(other_size / size)
        return torch.where(self.bends, out, v), torch.where(self.bends, log_slope, 0.0)

    def _bin(self, rows: Tensor, axis: int) -> Bin:
        """The bin of each value of ``rows: (D, N)``, on the unit square."""
        knots, slopes = self.knots.to(rows.dtype), self.slopes.to(rows.dtype)
        inside = knots[axis, :, 1:-1].contiguous()
        index = torch.searchsorted(inside, rows.detach(), right=True)
        left, right = knots[0].gather(1, index), knots[0].gather(1, index + 1)
        bottom, top = knots[1].gather(1, index), knots[1].gather(1, index + 1)
        width, height = right - left, top - bottom
        first, last = slopes.gather(1, index) * (width / height), slopes.gather(1, index + 1) * (width / height)
        return Bin(left, width, bottom, height, first, last)
