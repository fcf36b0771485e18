"""Bases on circles: angles in [-pi, pi)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pushforward.bases.base import Base, Source
from pushforward.domain import CIRCLE
from pushforward.errors import NumericsError, OptionError
from pushforward.events import Shape, sum_event
from pushforward.precision import in_float64
from pushforward.support import wrap_angle, zero_outside

# A proposal is rejected with a probability of at most 0.35, so that this many rejections in a row indicate an error.
_MOST_ROUNDS = 1000
# Below the first the distribution is uniform in float64; above the second it is normal with variance 1 / k.
_UNIFORM_BELOW, _NORMAL_ABOVE = 1e-30, 1e12


class UniformCircle(Base):
    """Independent angles, uniform on the circle: the density ``1 / (2 pi)`` a coordinate.

    >>> import torch
    >>> from pushforward.bases import UniformCircle
    >>> round(UniformCircle((1,)).log_prob(torch.zeros(1, 1)).item(), 4)
    -1.8379
    """

    support = CIRCLE
    tempered = False

    def __init__(self, event_shape: Shape) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)

    def log_prob(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        level = torch.full_like(z, -math.log(2 * math.pi))
        return sum_event(zero_outside((z >= CIRCLE.low) & (z <= CIRCLE.high), level, z))

    def _draw(self, n: int, context: Tensor | None, temperature: float, source: Source) -> Tensor:
        return math.pi * (2 * source.uniform(n, *self.event_shape) - 1)

    def cumulative(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return ((z + math.pi) / (2 * math.pi)).clamp(0, 1)


class VonMises(Base):
    """Independent von Mises angles with a learned location and concentration each.

    The density is ``exp(k cos(z - m)) / (2 pi I0(k))``. concentration: at the start (> 0), with location 0. Samples
    carry a gradient to the location only: they are accepted or rejected under the concentration. A temperature scales
    the deviation from the location.

    Source: Mardia & Jupp, "Directional statistics", 2000, section 3.5.4; samples by Best & Fisher, "Efficient
    simulation of the von Mises distribution", 1979.

    >>> import torch
    >>> from pushforward.bases import VonMises
    >>> round(VonMises((1,), concentration=2.0).log_prob(torch.zeros(1, 1)).item(), 4)
    -0.6619
    """

    support = CIRCLE

    def __init__(self, event_shape: Shape, concentration: float = 1.0) -> None:
        super().__init__()
        if not 0 < concentration < math.inf:
            raise OptionError(f"concentration must be above 0, got {concentration}")
        self.event_shape = tuple(event_shape)
        self.location = nn.Parameter(torch.zeros(self.event_shape))
        raw = concentration + math.log(-math.expm1(-concentration))
        self.raw_concentration = nn.Parameter(torch.full(self.event_shape, raw))

    @property
    def concentration(self) -> Tensor:
        """``k`` of each coordinate, above 0."""
        return F.softplus(self.raw_concentration)

    def log_prob(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        k = self.concentration
        # cos d - 1 = -2 sin^2(d / 2), and i0e(k) = I0(k) exp(-k): nothing large is subtracted.
        clamped = z.clamp(CIRCLE.low, CIRCLE.high)
        exponent = -2 * k * ((clamped - self.location) / 2).sin().square()
        log_density = exponent - torch.special.i0e(k).log() - math.log(2 * math.pi)
        return sum_event(zero_outside((z >= CIRCLE.low) & (z <= CIRCLE.high), log_density, z))

    def _draw(self, n: int, context: Tensor | None, temperature: float, source: Source) -> Tensor:
        k = in_float64(self.concentration.detach().to(source.device))
        deviation = _best_fisher(k.expand(n, *self.event_shape), source)
        return wrap_angle(source.take(self.location) + temperature * source.take(deviation))

    def cumulative(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        from scipy.stats import vonmises  # scikit-learn brings scipy

        k, location = self.concentration.detach().cpu().numpy(), self.location.detach().cpu().numpy()
        below = vonmises.cdf(CIRCLE.low, k, location)
        return torch.as_tensor(vonmises.cdf(z.detach().cpu().numpy(), k, location) - below).to(z)


def _best_fisher(k: Tensor, source: Source) -> Tensor:
    """Von Mises angles about 0 for concentrations ``k`` (float64), by rejection from a wrapped Cauchy; NaN for NaN.

    Raises NumericsError where proposals are rejected again and again.
    """
    unknown = k.isnan()
    given = torch.where(unknown, 1.0, k)
    k = given.clamp(_UNIFORM_BELOW, _NORMAL_ABOVE)
    # r = (1 + rho^2) / (2 rho) by the paper's rho; for small k by its expansion, where the formula cancels.
    safe = k.clamp(min=1e-4)
    tau = 1 + (1 + 4 * safe.square()).sqrt()
    rho = (tau - (2 * tau).sqrt()) / (2 * safe)
    r = torch.where(k < 1e-4, 1 / k + k, (1 + rho.square()) / (2 * rho))
    angle, accepted = torch.where(unknown, math.nan, torch.zeros_like(k)), unknown
    for _ in range(_MOST_ROUNDS):
        if bool(accepted.all()):
            return angle * (_NORMAL_ABOVE / given.clamp(min=_NORMAL_ABOVE)).sqrt()
        u = source.fine_uniform(3, *k.shape)
        cosine = (math.pi * u[0]).cos()
        f = (1 + r * cosine) / (r + cosine)
        c = k * (r - f)
        accept = (c * (2 - c) > u[1]) | ((c / u[1].clamp(min=1e-300)).log() + 1 - c >= 0)
        proposal = torch.where(u[2] < 0.5, -1.0, 1.0) * f.clamp(-1, 1).acos()
        angle = torch.where(accept & ~accepted, proposal, angle)
        accepted = accepted | accept
    raise NumericsError(
        f"no von Mises angle was accepted in {_MOST_ROUNDS} rounds for {int((~accepted).sum())} of {k.numel()} "
        f"coordinates; expected concentrations above 0, got {given.amin():g} to {given.amax():g}"
    )
