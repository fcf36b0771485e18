"""The rational-quadratic spline, on the real line, on a closed interval or on a circle.

Sources: Durkan, Bekasov, Murray & Papamakarios, "Neural spline flows", 2019, section 3.1 and appendix A; Gregory &
Delbourgo, "Piecewise rational quadratic interpolation to monotonic data", 1982; for circles Rezende et al.,
"Normalizing flows on tori and spheres", 2020, section 2.1.3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from pushforward.domain import REAL, Domain
from pushforward.errors import OptionError
from pushforward.kernels import MapForm, SplineOptions, spline, takes_spline
from pushforward.maps.knots import along, bin_of, check_bins, knot_slope, own_bin
from pushforward.maps.map import Map
from pushforward.option_checks import above_zero, between_zero_and_one

Tails: TypeAlias = Literal["linear", "box", "circular"]
Interval: TypeAlias = "tuple[Tensor | float, Tensor | float]"
# The kernel has the same numbers for them.
_TAILS: tuple[Tails, ...] = ("linear", "box", "circular")


@dataclass(frozen=True)
class Bin:
    """The bin of each coordinate on the unit square: its lower left corner, its size, and the slopes at its two ends,
    these in units of ``height / width``. All tensors are shaped as the coordinates."""

    left: Tensor
    width: Tensor
    bottom: Tensor
    height: Tensor
    first: Tensor
    last: Tensor

    def forward(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Value and log-slope at ``t`` in this bin. Sums of positive terms only: nothing cancels."""
        xi = along(t, self.left, self.width)
        rest = 1 - xi
        both = xi * rest
        above = xi * xi + self.first * both
        total = above + rest * rest + self.last * both
        return self.bottom + self.height * (above / total), self._log_slope(xi, rest, both, total)

    def inverse(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """The argument at which the value is ``u``, and minus the log-slope there.

        The discriminant of the quadratic (Durkan et al., eq. 29) is ``(p - q)^2 + 4 eta (1 - eta)`` with ``p = first
        (1 - eta)`` and ``q = last eta``: never negative. The root is written with whichever sign does not cancel.
        """
        eta = along(u, self.bottom, self.height)
        rest = 1 - eta
        gap = self.first * rest - self.last * eta
        root = gap.abs() + (gap * gap + 4 * eta * rest).sqrt()
        low = gap >= 0
        xi = 2 * torch.where(low, eta, rest)
        xi = torch.where(low, xi, root) / (xi + root)
        other = 1 - xi
        both = xi * other
        total = xi * xi + other * other + (self.first + self.last) * both
        return self.left + self.width * xi, -self._log_slope(xi, other, both, total)

    def _log_slope(self, xi: Tensor, rest: Tensor, both: Tensor, total: Tensor) -> Tensor:
        slope = self.last * (xi * xi) + 2 * both + self.first * (rest * rest)
        return (slope / (total * total) * (self.height / self.width)).log()


class RationalQuadraticSpline(Map):
    """A monotone spline of ``bins`` pieces, each a ratio of two quadratics, with a continuous slope.

    ``params``: raw widths and heights of the bins (K each), raw slopes at the knots, and the parameters of the tails.
    tails:

    - ``linear``: the identity outside [-bound, bound]; K - 1 slopes, at the inner knots. With ``learned_interval`` the
      two ends in x and the two in y are learned and the slopes at them continue outside: K + 1 slopes; then centre and
      size of the interval in x, and of that in y, all 0 at [-bound, bound].
    - ``box``: ``domain``, a closed interval (None: [-bound, bound]), onto itself; K + 1 slopes. Outside it the value is
      that at the nearest end, without gradient, and the log-slope is -inf: the density is 0.
    - ``circular``: ``domain``, a circle (None: [-pi, pi)), onto itself; K slopes, of which the first is also the last,
      so that the seam is a knot like any other; and a rotation of the values, in radians. Input is wrapped into the
      circle.

    min_width, min_height: smallest size of a bin, as a fraction of the interval; min_slope: smallest slope at a knot. A
    raw slope of 0 is a slope of 1, and slopes are limited to 1,000. The start is the identity.

    >>> import torch
    >>> from pushforward.maps import RationalQuadraticSpline
    >>> map, x = RationalQuadraticSpline(bins=4), torch.tensor([-4.0, 0.5])
    >>> params = torch.randn(map.n_params, 2)
    >>> torch.allclose(map.inverse(map.forward(x, params)[0], params)[0], x, atol=1e-4)
    True
    """

    starts_at_zero = True

    def __init__(
        self,
        bins: int = 8,
        bound: float = 3.0,
        tails: Tails = "linear",
        learned_interval: bool = False,
        min_width: float = 1e-3,
        min_height: float = 1e-3,
        min_slope: float = 1e-3,
        domain: Domain | None = None,
    ) -> None:
        super().__init__()
        check_bins(bins, {"min_width": min_width, "min_height": min_height})
        bound = above_zero(bound, "bound")
        if tails not in _TAILS:
            raise OptionError(f"tails {tails!r} are not known; expected one of {', '.join(_TAILS)}")
        if learned_interval and tails != "linear":
            raise OptionError(f"learned_interval goes with linear tails; {tails} tails have a fixed interval")
        self.bins, self.tails, self.learned_interval = bins, tails, learned_interval
        self.min_width, self.min_height = float(min_width), float(min_height)
        self.min_slope = between_zero_and_one(min_slope, "min_slope")
        self.domain = self.codomain = _domain(tails, bound, domain)
        self.low, self.high = (-bound, bound) if tails == "linear" else (self.domain.low, self.domain.high)
        self._slopes = bins + 1 if tails == "box" or learned_interval else bins if tails == "circular" else bins - 1
        self.n_params = 2 * bins + self._slopes + (4 if learned_interval else 1 if tails == "circular" else 0)
        self.start = nn.Buffer(torch.zeros(self.n_params), persistent=False)
        number, minima = _TAILS.index(tails), (self.min_width, self.min_height, self.min_slope)
        # The kernel's interval is the same for all elements.
        options = SplineOptions(bins, self._slopes, number, self.low, self.high, *minima)
        self._kernel = None if learned_interval else options
        self._form = None if learned_interval else MapForm("spline", self._fixed, spline=options)

    def extra_repr(self) -> str:
        return f"bins={self.bins}, [{self.low:g}, {self.high:g}], tails={self.tails}"

    def forward(self, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        source, target = self._intervals(params)
        if self.tails != "circular":
            return self._through(x, params, source, target)
        y, log_slope = self._through(self._wrap(x), params, source, target)
        return self._wrap(y + self._rotation(params)), log_slope

    def inverse(self, y: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        target, source = self._intervals(params)
        if self.tails != "circular":
            return self._through(y, params, source, target, back=True)
        y = self._wrap(y - self._rotation(params))
        x, log_slope = self._through(y, params, source, target, back=True)
        return self._wrap(x), log_slope

    def kernel_form(self) -> MapForm | None:
        # A circle has a rotation of the values as well.
        return self._form if type(self) is RationalQuadraticSpline and self.tails != "circular" else None

    def _fixed(self, v: Tensor, params: Tensor, limit: Tensor | None, back: bool) -> tuple[Tensor, Tensor]:
        interval = self._intervals(params)[0]
        return self._reference(v, params, interval, interval, back)

    def _through(
        self, v: Tensor, params: Tensor, source: Interval, target: Interval, back: bool = False
    ) -> tuple[Tensor, Tensor]:
        """The spline, or its inverse with ``back``, from one interval to the other, and the tails outside."""
        if self._kernel is not None and takes_spline(v, params, self._kernel):
            return spline(
                v, params, self._kernel, back, lambda v, params: self._reference(v, params, source, target, back)
            )
        return self._reference(v, params, source, target, back)

    def _reference(
        self, v: Tensor, params: Tensor, source: Interval, target: Interval, back: bool
    ) -> tuple[Tensor, Tensor]:
        """`_through` in torch's own operations."""
        t = (v - source[0]) / source[1]
        inner = t.clamp(0, 1)
        if self.tails == "box":
            # The upper bound itself, which division may miss by a rounding.
            inner = inner + torch.where(v >= self.high, 1 - inner, 0.0).detach()
        bin = self._bin(inner, params, back)
        u, log_slope = bin.inverse(inner) if back else bin.forward(inner)
        if isinstance(source[1], Tensor):
            # Values outside are clamped to the nearest end and get its log-slope.
            out = target[0] + target[1] * (u + log_slope.exp() * (t - inner))
            return out, log_slope + torch.log(target[1] / source[1])
        out = target[0] + target[1] * u
        if self.tails == "linear":
            inside = v.abs() < self.high
            return torch.where(inside, out, v), torch.where(inside, log_slope, 0.0)
        if self.tails == "box":
            # Ends map to ends, and rounding leads no value out of the interval; the gradient remains the spline's.
            exact = torch.where(v >= self.high, self.high, out.clamp(self.low, self.high))
            outside = (v < self.low) | (v > self.high)
            return out + (exact - out).detach(), torch.where(outside, -math.inf, log_slope)
        return out, log_slope

    def _bin(self, t: Tensor, params: Tensor, back: bool) -> Bin:
        """The bin of each ``t`` in [0, 1]: a value of the spline with ``back``, otherwise an argument."""
        minimum = self.min_height if back else self.min_width
        before, part, ends, index = own_bin(t, params, self.bins, self._slopes, int(back), minimum)
        (before_x, before_y), (part_x, part_y) = before.unbind(0), part.unbind(0)
        left, width = bin_of(part_x, before_x, index, self.bins, self.min_width)
        bottom, height = bin_of(part_y, before_y, index, self.bins, self.min_height)
        if self._slopes == self.bins - 1:  # 0, which is a slope of 1, at the outer knots
            ends = torch.where(torch.stack([index > 0, index < self.bins - 1]), ends, 0.0)
        first, last = (knot_slope(ends, self.min_slope) * (width / height)).unbind(0)
        return Bin(left, width, bottom, height, first, last)

    def _intervals(self, params: Tensor) -> tuple[Interval, Interval]:
        """Lower end and length of the interval in x and of that in y."""
        length = self.high - self.low
        if not self.learned_interval:
            return (self.low, length), (self.low, length)
        x_centre, x_size, y_centre, y_size = params[-4:].unbind(0)
        x_length, y_length = length * knot_slope(x_size, self.min_slope), length * knot_slope(y_size, self.min_slope)
        return (x_centre - x_length / 2, x_length), (y_centre - y_length / 2, y_length)

    def _rotation(self, params: Tensor) -> Tensor:
        return params[-1] * ((self.high - self.low) / (2 * math.pi))

    def _wrap(self, angle: Tensor) -> Tensor:
        length = self.high - self.low
        wrapped = self.low + torch.remainder(angle - self.low, length)
        # Rounding may give the upper end, which is the same angle as the lower one.
        return torch.where(wrapped >= self.high, wrapped - length, wrapped).clamp(min=self.low)


def _domain(tails: Tails, bound: float, domain: Domain | None) -> Domain:
    """The domain of these tails: ``domain`` if it fits them, or their default."""
    if tails == "linear":
        if domain is not None:
            raise OptionError(f"linear tails reach over the real line and take no domain, got {domain}")
        return REAL
    kind: Literal["real", "circle"] = "circle" if tails == "circular" else "real"
    if domain is None:
        end = math.pi if tails == "circular" else bound
        return Domain(kind, -end, end)
    if domain.kind != kind or not math.isfinite(domain.high - domain.low) or domain.low >= domain.high:
        wanted = "a circle" if tails == "circular" else "an interval with finite ends"
        raise OptionError(f"{tails} tails need {wanted} as their domain, got {domain}")
    return domain
