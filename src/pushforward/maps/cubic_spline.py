"""The cubic spline.

Sources: Durkan, Bekasov, Murray & Papamakarios, "Cubic-spline flows", 2019; the slopes at the knots are those of
Steffen, "A simple method for monotonic interpolation in one dimension", 1990.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pushforward.domain import UNIT
from pushforward.maps.knots import along, bin_of, check_bins, find_bin, through_interval
from pushforward.maps.map import Map
from pushforward.maps.numeric import invert
from pushforward.option_checks import above_zero, between_zero_and_one


@dataclass(frozen=True)
class _Piece:
    """One piece of each coordinate: its lower left corner and size, the slope of its chord, and the slopes at its ends,
    both in units of the chord's and at most 3, which makes it monotone (Fritsch & Carlson, 1980)."""

    left: Tensor
    width: Tensor
    bottom: Tensor
    height: Tensor
    chord: Tensor
    first: Tensor
    last: Tensor

    def rise(self, xi: Tensor) -> tuple[Tensor, Tensor]:
        """The cubic from (0, 0) to (1, 1) and the log of its slope, by Bernstein polynomials."""
        rest = 1 - xi
        value = self.first * xi * rest * rest + (3 - self.last) * xi * xi * rest + xi * xi * xi
        middle = 3 - self.first - self.last
        slope = self.first * rest * rest + 2 * middle * xi * rest + self.last * xi * xi
        return value, slope.log()


class CubicSpline(Map):
    """Cubic pieces with a continuous slope, on [-bound, bound] and continued with the slopes at its ends.

    ``params``: K raw widths, K raw heights, and 2 that set the slopes at the ends, between 0 and 3 times those of the
    chords of the outer pieces; slopes at inner knots follow from the chords. min_width, min_height: smallest size of a
    piece, as a fraction of the interval; min_slope: smallest slope at the ends, in units of their chords' slopes. The
    inverse is numeric. The start, all zeros, is the identity.

    >>> import torch
    >>> from pushforward.maps import CubicSpline
    >>> map, x = CubicSpline(bins=4), torch.tensor([-4.0, 0.5])
    >>> params = torch.randn(map.n_params, 2)
    >>> torch.allclose(map.inverse(map.forward(x, params)[0], params)[0], x, atol=1e-4)
    True
    """

    def __init__(
        self,
        bins: int = 8,
        bound: float = 3.0,
        min_width: float = 1e-3,
        min_height: float = 1e-3,
        min_slope: float = 1e-3,
    ) -> None:
        super().__init__()
        check_bins(bins, {"min_width": min_width, "min_height": min_height})
        self.bins, self.bound, self.n_params = bins, above_zero(bound, "bound"), 2 * bins + 2
        self.min_width, self.min_height = float(min_width), float(min_height)
        self.min_slope = between_zero_and_one(min_slope, "min_slope")
        self.start = nn.Buffer(torch.zeros(self.n_params), persistent=False)

    def extra_repr(self) -> str:
        return f"bins={self.bins}, bound={self.bound:g}"

    def forward(self, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        def curve(t: Tensor) -> tuple[Tensor, Tensor]:
            piece = self._piece(t, params, axis=0)
            value, log_slope = piece.rise(along(t, piece.left, piece.width))
            return piece.bottom + piece.height * value, log_slope + piece.chord.log()

        return through_interval(curve, x, self.bound)

    def inverse(self, y: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        def curve(u: Tensor) -> tuple[Tensor, Tensor]:
            piece = self._piece(u, params, axis=1)
            xi, log_slope = invert(piece.rise, along(u, piece.bottom, piece.height), UNIT)
            # Values beyond the ends are clamped to them and handled separately: far out, the root overflows.
            end = torch.where(u <= 0, piece.first, piece.last)
            log_slope = torch.where((u > 0) & (u < 1), log_slope, -end.log())
            return piece.left + piece.width * xi, log_slope - piece.chord.log()

        return through_interval(curve, y, self.bound)

    def _piece(self, t: Tensor, params: Tensor, axis: int) -> _Piece:
        """The piece in which ``t`` lies among the widths (``axis`` 0) or the heights (1)."""
        bins, minima = self.bins, (self.min_width, self.min_height)
        parts, index, before = find_bin(t, params, bins, axis, minima[axis])
        # The piece between its neighbours; at the ends the piece itself replaces the missing neighbour.
        three = torch.stack([index - 1, index, index + 1]).clamp(0, bins - 1)
        near = parts.gather(1, three.expand(2, *three.shape))
        left, width = bin_of(near[0, 1], before[0], index, bins, self.min_width)
        bottom, height = bin_of(near[1, 1], before[1], index, bins, self.min_height)
        widths, heights = (low + (1 - bins * low) * part for low, part in zip(minima, near.unbind(0), strict=True))
        chords = heights / widths
        # Steffen: the slope of the parabola through three knots, or twice the smaller chord if that is less.
        parabola = (widths[1:] * chords[:-1] + widths[:-1] * chords[1:]) / (widths[1:] + widths[:-1])
        inner = torch.minimum(parabola, 2 * torch.minimum(chords[:-1], chords[1:]))
        outer = self._outer(params[2 * bins :]) * chords[1]
        # Not two views of one tensor: the loop of the numeric inverse does not compile where its inputs share memory.
        first = torch.where(index == 0, outer[0], inner[0]) / chords[1]
        last = torch.where(index == bins - 1, outer[1], inner[1]) / chords[1]
        return _Piece(left, width, bottom, height, chords[1], first, last)

    def _outer(self, raw: Tensor) -> Tensor:
        """Slopes at the ends in units of the chords there: from ``min_slope`` to ``3 - min_slope``, 1 for a raw 0."""
        low = self.min_slope
        start = (1 - low) / (3 - 2 * low)
        return low + (3 - 2 * low) * (raw + math.log(start / (1 - start))).sigmoid()
