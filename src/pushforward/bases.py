"""Base distributions: the simple densities that a flow pushes forward.

Each has an ``event_shape``, a ``support`` and two methods. Sampling takes its generator and its dtype and device as
arguments, so that a base owns no dummy buffers and touches no global random state.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints
from torch.nn import functional as F

from pushforward.domain import REAL, UNIT, Domain
from pushforward.errors import OptionError, ShapeError
from pushforward.transform import Shape, sum_event


class Base(nn.Module, ABC):
    """A density on events of shape ``event_shape`` whose coordinates lie in ``support``."""

    event_shape: Shape
    support: Domain = REAL

    @abstractmethod
    def log_prob(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Log-density (B,) in nats of ``z: (B, *event_shape)``; -inf outside the support."""

    @abstractmethod
    def sample(
        self,
        n: int,
        context: Tensor | None = None,
        *,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """``n`` events ``(n, *event_shape)``, deviations from the centre scaled by ``temperature`` (> 0)."""


class StandardNormal(Base):
    """The normal distribution with zero mean and unit covariance."""

    def __init__(self, event_shape: Shape) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)

    def log_prob(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return sum_event(-0.5 * z.square() - 0.5 * math.log(2 * math.pi))

    def sample(
        self,
        n: int,
        context: Tensor | None = None,
        *,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> Tensor:
        return temperature * torch.randn(n, *self.event_shape, generator=generator, dtype=dtype, device=device)


class StandardLogistic(Base):
    """Independent standard logistic coordinates, the prior of NICE on MNIST.

    Source: Dinh, Krueger & Bengio, "NICE: Non-linear Independent Components Estimation", 2015, section 3.4.
    """

    def __init__(self, event_shape: Shape) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)

    def log_prob(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        # Even in z: written with |z|, it is accurate in both tails.
        z = z.abs()
        return sum_event(-z - 2 * F.softplus(-z))

    def sample(
        self,
        n: int,
        context: Tensor | None = None,
        *,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> Tensor:
        u = torch.rand(n, *self.event_shape, generator=generator, dtype=dtype, device=device)
        # u is a multiple of eps / 2 below 1: a 0 stands for the numbers up to the next one, not for the far tail.
        u = u.clamp(min=torch.finfo(dtype).eps / 4)
        return temperature * (u.log() - torch.log1p(-u))


class UniformBox(Base):
    """The uniform distribution on the box ``(low, high)`` in every coordinate."""

    def __init__(self, event_shape: Shape, low: float = 0.0, high: float = 1.0) -> None:
        super().__init__()
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise OptionError(f"a box needs finite ends with low < high, got low={low} and high={high}")
        self.event_shape = tuple(event_shape)
        self.low, self.high = float(low), float(high)
        self.support = UNIT if (low, high) == (0.0, 1.0) else Domain("real", self.low, self.high)

    def log_prob(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        inside = (z >= self.low) & (z <= self.high)
        level = torch.full_like(z, -math.log(self.high - self.low))
        # A NaN stays a NaN, it does not become "outside".
        return sum_event(torch.where(inside, level, torch.where(z.isnan(), z, -math.inf)))

    def sample(
        self,
        n: int,
        context: Tensor | None = None,
        *,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> Tensor:
        if temperature != 1.0:
            raise OptionError(f"a uniform base has no temperature; expected 1.0, got {temperature}")
        u = torch.rand(n, *self.event_shape, generator=generator, dtype=dtype, device=device)
        return self.low + (self.high - self.low) * u


class TorchBase(Base):
    """Any ``torch.distributions.Distribution`` as a base. It works in memory and cannot be saved with a model.

    Batch dimensions of the distribution count as part of the event: ``Normal(zeros(3), ones(3))`` is a base for events
    of shape (3,). Tensors inside the distribution stay on the device and in the dtype that they were made with.
    """

    def __init__(self, distribution: Distribution) -> None:
        super().__init__()
        self.event_shape = tuple(distribution.batch_shape + distribution.event_shape)
        self.distribution = distribution
        self.support = _domain_of(distribution)

    def log_prob(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        if z.shape[0] == 0:
            return z.new_zeros(0)  # some of torch's distributions cannot score an empty batch
        support = self.distribution.support
        if support is None:
            raise OptionError(f"{type(self.distribution).__name__} declares no support, so it cannot be a base")
        inside = support.check(z)
        while inside.ndim > 1:
            inside = inside.all(-1)
        # Outside the support torch raises or returns nonsense: compute at a point that is inside, then select.
        shape = (-1,) + (1,) * len(self.event_shape)
        value = self.distribution.log_prob(torch.where(inside.reshape(shape), z, self._inner_point().to(z)))
        outside = torch.where(z.isnan().flatten(1).any(1) if z.ndim > 1 else z.isnan(), math.nan, -math.inf)
        return torch.where(inside, sum_event(value), outside.to(z))

    def _draw(self, n: int) -> Tensor:
        # Some of torch's distributions cannot draw an empty sample.
        return self.distribution.sample((max(n, 1),))[:n]

    def _inner_point(self) -> Tensor:
        with torch.random.fork_rng(devices=[]):
            # Not torch.manual_seed: it would seed the accelerators' generators as well, which are not put back.
            torch.default_generator.manual_seed(0)
            return self.distribution.sample()

    def sample(
        self,
        n: int,
        context: Tensor | None = None,
        *,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> Tensor:
        if temperature != 1.0:
            raise OptionError(f"a torch distribution has no temperature; expected 1.0, got {temperature}")
        if generator is None:
            return self._draw(n).to(dtype=dtype, device=device)
        # torch.distributions draw from the global generator only: seed a copy of it and put it back afterwards.
        seed = int(torch.randint(2**62, (1,), generator=generator, device=generator.device))
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return self._draw(n).to(dtype=dtype, device=device)


def _domain_of(distribution: Distribution) -> Domain:
    support = distribution.support
    if support is None:
        raise OptionError(f"{type(distribution).__name__} declares no support, so it cannot be a base")
    while isinstance(support, (constraints.independent, constraints.MixtureSameFamilyConstraint)):
        support = support.base_constraint
    if support is constraints.real or support is constraints.real_vector:
        return REAL
    low, high = getattr(support, "lower_bound", None), getattr(support, "upper_bound", None)
    if getattr(support, "is_discrete", False) or (low is None and high is None):
        raise OptionError(
            f"a base needs a continuous distribution on intervals; {type(distribution).__name__} lies on {support}"
        )
    return Domain(
        "real",
        -math.inf if low is None else float(torch.as_tensor(low).min()),
        math.inf if high is None else float(torch.as_tensor(high).max()),
    )


BASES: dict[str, type[StandardNormal] | type[StandardLogistic] | type[UniformBox]] = {
    "normal": StandardNormal,
    "logistic": StandardLogistic,
    "uniform": UniformBox,
}


def build_base(name: str, event_shape: Shape) -> Base:
    """The base of that name (``normal``, ``logistic``, ``uniform``) for events of the given shape."""
    if name not in BASES:
        raise OptionError(f"base {name!r} is not known; expected one of {', '.join(BASES)}")
    return BASES[name](event_shape)


def as_base(base: Base | Distribution, event_shape: Shape) -> Base:
    """``base`` as a Base for events of shape ``event_shape``; raises ShapeError where the shapes differ."""
    made = base if isinstance(base, Base) else TorchBase(base)
    if made.event_shape != tuple(event_shape):
        raise ShapeError(
            f"the base has events of shape {made.event_shape}, but the transforms give latents of shape {event_shape}"
        )
    return made
