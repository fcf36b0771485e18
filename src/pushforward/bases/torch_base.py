"""Any ``torch.distributions`` object as a base."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, StudentT

from pushforward.bases.base import Base, Source
from pushforward.domain import Domain
from pushforward.errors import OptionError, ShapeError
from pushforward.events import Shape, sum_event
from pushforward.support import ends


class TorchBase(Base):
    """Any ``torch.distributions.Distribution`` as a base. It works in memory and cannot be saved with a model.

    Batch dimensions of the distribution count as part of the event: ``Normal(zeros(3), ones(3))`` is a base for events
    of shape (3,). Tensors inside the distribution stay on the device and in the dtype that they were made with.

    >>> import torch
    >>> from torch.distributions import Independent, Laplace
    >>> from pushforward.bases import TorchBase
    >>> base = TorchBase(Independent(Laplace(torch.zeros(2), torch.ones(2)), 1))
    >>> base.sample(3).shape
    torch.Size([3, 2])
    """

    tempered = False

    def __init__(self, distribution: Distribution) -> None:
        super().__init__()
        self.event_shape = tuple(distribution.batch_shape + distribution.event_shape)
        self.distribution = distribution
        self.support = _domain_of(distribution)
        self._inner_point = nn.Buffer(_inner_point(distribution), persistent=False)

    @property
    def label(self) -> str:
        return type(self.distribution).__name__

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
        value = self.distribution.log_prob(torch.where(inside.reshape(shape), z, self._inner_point.to(z)))
        outside = torch.where(z.isnan().flatten(1).any(1) if z.ndim > 1 else z.isnan(), math.nan, -math.inf)
        return torch.where(inside, sum_event(value), outside.to(z))

    def _rows(self, n: int) -> Tensor:
        # Some of torch's distributions cannot draw an empty sample.
        return self.distribution.sample((max(n, 1),))[:n]

    def _draw(self, n: int, context: Tensor | None, temperature: float, source: Source) -> Tensor:
        if source.generator is None:
            return source.take(self._rows(n))
        # torch.distributions draw from the global generator only: seed a copy of it and put it back afterwards.
        seed = int(torch.randint(2**62, (1,), generator=source.generator, device=source.generator.device))
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return source.take(self._rows(n))

    def cumulative(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        if self.distribution.event_shape:
            return super().cumulative(z, context)
        try:
            cumulative: Tensor = self.distribution.cdf(z)
            return cumulative
        except NotImplementedError:
            return _cdf_by_name(self.distribution, z)


def _inner_point(distribution: Distribution) -> Tensor:
    """A point of the support, always the same one."""
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed: it would seed the accelerators' generators as well, which are not put back.
        torch.default_generator.manual_seed(0)
        return distribution.sample()


def _cdf_by_name(distribution: Distribution, z: Tensor) -> Tensor:
    """The distribution function of Student's t, which torch.distributions lacks."""
    if not isinstance(distribution, StudentT):
        raise OptionError(f"{type(distribution).__name__} has no cumulative distribution function")
    probabilities = student_cdf((z - distribution.loc) / distribution.scale, distribution.df)
    return probabilities


def student_cdf(y: Tensor, df: Tensor) -> Tensor:
    """The distribution function of Student's t with ``df`` degrees of freedom, by scipy, without a gradient."""
    from scipy.special import stdtr  # scikit-learn brings scipy

    y, df = y.detach(), df.detach()
    return torch.as_tensor(stdtr(df.cpu().numpy(), y.cpu().numpy())).to(y)


def _domain_of(distribution: Distribution) -> Domain:
    if distribution.support is None:
        raise OptionError(f"{type(distribution).__name__} declares no support, so it cannot be a base")
    low, high = ends(distribution, "a base needs a continuous distribution on intervals")
    return Domain(
        "real",
        -math.inf if low is None else float(torch.as_tensor(low).min()),
        math.inf if high is None else float(torch.as_tensor(high).max()),
    )


def as_base(base: Base | Distribution, event_shape: Shape) -> Base:
    """``base`` as a Base for events of shape ``event_shape``; raises ShapeError where the shapes differ.

    >>> import torch
    >>> from torch.distributions import Independent, Normal
    >>> from pushforward.bases import as_base
    >>> as_base(Independent(Normal(torch.zeros(2), 1.0), 1), (2,)).event_shape
    (2,)
    """
    base = base if isinstance(base, Base) else TorchBase(base)
    if base.event_shape != tuple(event_shape):
        raise ShapeError(
            f"the base has events of shape {base.event_shape}, but the transforms give latents of shape {event_shape}"
        )
    return base
