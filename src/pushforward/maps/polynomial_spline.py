"""Splines whose density is piecewise constant or piecewise linear.

Source: Müller, McWilliams, Rousselle, Gross & Novák, "Neural importance sampling", 2019, sections 4.2 and 4.3. There
they map the unit interval; here [-bound, bound], continued with the slopes at its ends, so that they are onto.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pushforward.maps.knots import (
    along,
    bin_of,
    check_bins,
    in_memory_order,
    search,
    through_interval,
    up_to_the_end,
)
from pushforward.maps.map import Map
from pushforward.option_checks import above_zero, between_zero_and_one


class LinearSpline(Map):
    """Straight pieces over ``bins`` equal parts of [-bound, bound]; ``params`` are K raw heights.

    The slope jumps at the inner knots, where it is that of the piece to the right: a density with steps, and no
    gradient that would tell a preceding layer where they are. min_height: of a piece, as a part of the interval, so
    that the slope is at least ``bins * min_height``. The start, all zeros, is the identity.
    """

    def __init__(self, bins: int = 8, bound: float = 3.0, min_height: float = 1e-3) -> None:
        super().__init__()
        check_bins(bins, {"min_height": min_height})
        self.bins, self.n_params = bins, bins
        self.bound, self.min_height = above_zero(bound, "bound"), float(min_height)
        self.start = nn.Buffer(torch.zeros(bins), persistent=False)

    def extra_repr(self) -> str:
        return f"bins={self.bins}, bound={self.bound:g}"

    def forward(self, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        return in_memory_order(self._forth, x, params)

    def inverse(self, y: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        return in_memory_order(self._back, y, params)

    def _forth(self, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        parts, bins = params.softmax(0), self.bins

        def curve(t: Tensor) -> tuple[Tensor, Tensor]:
            index = (t * bins).long().clamp(0, bins - 1)
            inner = torch.arange(bins - 1, device=t.device).reshape(-1, *(1,) * t.ndim)
            bottom, height, slope = self._piece(parts, index, inner < index)
            return bottom + height * (t * bins - index), slope.log()

        return through_interval(curve, x, self.bound)

    def _back(self, y: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        parts, bins = params.softmax(0), self.bins

        def curve(u: Tensor) -> tuple[Tensor, Tensor]:
            ended = search(u, parts, self.min_height)
            index = ended.sum(0)
            bottom, height, slope = self._piece(parts, index, ended)
            return (index + along(u, bottom, height)) / bins, -slope.log()

        return through_interval(curve, y, self.bound)

    def _piece(self, parts: Tensor, index: Tensor, ended: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Lower end, height and slope of the piece ``index``."""
        before = (parts[:-1] * ended.to(parts.dtype)).sum(0)
        part = parts.gather(0, index[None])[0]
        bottom, height = bin_of(part, before, index, self.bins, self.min_height)
        return bottom, height, self.bins * (self.min_height + (1 - self.bins * self.min_height) * part)


class QuadraticSpline(Map):
    """Parabolic pieces with a continuous slope, which is linear between its values at the knots.

    ``params``: K raw widths, then the logs of the K + 1 slopes at the knots up to a common factor. min_width: of a
    piece, as a part of the interval; min_slope: everywhere. The start, all zeros, is the identity.
    """

    def __init__(self, bins: int = 8, bound: float = 3.0, min_width: float = 1e-3, min_slope: float = 1e-3) -> None:
        super().__init__()
        check_bins(bins, {"min_width": min_width})
        self.bins, self.bound, self.n_params = bins, above_zero(bound, "bound"), 2 * bins + 1
        self.min_width, self.min_slope = float(min_width), between_zero_and_one(min_slope, "min_slope")
        self.start = nn.Buffer(torch.zeros(self.n_params), persistent=False)

    def extra_repr(self) -> str:
        return f"bins={self.bins}, bound={self.bound:g}"

    def forward(self, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        return in_memory_order(self._forth, x, params)

    def inverse(self, y: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        return in_memory_order(self._back, y, params)

    def _forth(self, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        def curve(t: Tensor) -> tuple[Tensor, Tensor]:
            (left, bottom), (width, height), (first, last) = self._piece(t, params, axis=0)
            xi = along(t, left, width)
            slope = first * (1 - xi) + last * xi
            return bottom + height * (xi * (first + slope) / (first + last)), slope.log()

        return through_interval(curve, x, self.bound)

    def _back(self, y: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        def curve(u: Tensor) -> tuple[Tensor, Tensor]:
            (left, bottom), (width, height), (first, last) = self._piece(u, params, axis=1)
            eta = along(u, bottom, height)
            # The discriminant is the square of the slope, between those at the ends: positive, nothing cancels.
            root = (first * first * (1 - eta) + last * last * eta).sqrt()
            # At the ends without eta's share in the gradient, which far out, where slopes count 1e30 times, overflows.
            slope = torch.where(eta <= 0, first, torch.where(eta >= 1, last, root))
            return left + width * (eta * (first + last) / (first + root)).clamp(0, 1), -slope.log()

        return through_interval(curve, y, self.bound)

    def _piece(self, t: Tensor, params: Tensor, axis: int) -> tuple[tuple[Tensor, ...], ...]:
        """Lower left corner, size, and slopes at both ends, of the piece in which ``t`` lies on ``axis``."""
        bins = self.bins
        widths = self.min_width + (1 - bins * self.min_width) * params[:bins].softmax(0)
        # Only their ratios count; the largest is 1.
        slopes = (params[bins:] - params[bins:].detach().amax(0)).exp()
        area = (widths * (slopes[:-1] + slopes[1:])).sum(0) / 2
        slopes = self.min_slope + (1 - self.min_slope) * (slopes / area)
        sizes = torch.stack([widths, widths * (slopes[:-1] + slopes[1:]) / 2])
        ended = search(t, sizes[axis], 0.0)
        index = ended.sum(0)
        before = (sizes[:, :-1] * ended.to(t.dtype)).sum(1)
        own = sizes.gather(1, index.expand(2, 1, *index.shape)).squeeze(1)
        ends = slopes.gather(0, torch.stack([index, index + 1]))
        corner, size = up_to_the_end(before, own, index == bins - 1)
        return corner.unbind(0), size.unbind(0), ends.unbind(0)
