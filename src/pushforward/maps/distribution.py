"""Distribution functions as maps: the probability integral transform, and inverse transform sampling as its inverse."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Transform

from pushforward.domain import UNIT, Domain
from pushforward.errors import OptionError, ShapeError
from pushforward.maps.map import Map
from pushforward.maps.numeric import invert
from pushforward.support import End, ends, zero_outside


class DistributionCDF(Map):
    """``y = P(X <= x)`` for X of a 1-D ``torch.distributions`` object: from its support to (0, 1), without params.

    The slope is the density. Inverted by the distribution's ``icdf`` where torch has one, numerically where not (Gamma,
    mixtures, ...). A batch shape must broadcast to that of one event: ``Normal(zeros(3), ones(3))`` is for events whose
    last axis is 3, in `Elementwise`; couplings and autoregressive transforms refuse it. The log-slope is -inf where x
    lies outside the support, and in the inverse where y lies outside [0, 1].

    The map is as accurate as the distribution's ``cdf``, to the rounding of 1: in the far tails y rounds to 0 or 1, and
    the inverse cannot recover x. The inverse clamps y to where torch's ``icdf`` is finite. The map works on a copy of
    the distribution, whose tensors move with it to another device or dtype; they may have gradients, but are neither
    parameters nor saved.

    Raises OptionError for distributions of vectors or integers, with bounds that differ over the batch, or without a
    ``cdf`` in torch (Beta, StudentT, ...).

    >>> import torch
    >>> from torch.distributions import Exponential
    >>> from pushforward.maps import DistributionCDF
    >>> map = DistributionCDF(Exponential(torch.tensor(1.0)))
    >>> u, log_slope = map.forward(torch.tensor([1.0]), torch.zeros(0, 1))
    >>> round(u.item(), 4), round(log_slope.item(), 4)
    (0.6321, -1.0)
    """

    n_params = 0
    codomain = UNIT

    def __init__(self, distribution: Distribution) -> None:
        super().__init__()
        self.domain = _support(distribution)
        self.distribution = _mapped(distribution, lambda tensor: tensor)
        batch = tuple(distribution.batch_shape)
        self.shape = batch if any(size != 1 for size in batch) else None
        name, point = type(distribution).__name__, torch.tensor(_inner_point(self.domain))
        if not _has(self.distribution, "cdf", point):
            raise OptionError(f"torch's {name} has no cdf, so it cannot be a map; expected one such as Normal or Gamma")
        self.closed_inverse = _has(self.distribution, "icdf", torch.tensor(0.5))
        self.start = nn.Buffer(torch.zeros(0), persistent=False)

    def forward(self, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        self._require_fit(x)
        try:
            value = self.distribution.cdf(self._clamped(x)).to(x.dtype)
        except NotImplementedError:
            name = type(self.distribution).__name__
            raise OptionError(
                f"torch has no forward-mode derivative of the cdf of {name}; use reverse mode, torch.autograd.grad or "
                "torch.func.jacrev"
            ) from None
        return value, self._log_density(x)

    def inverse(self, y: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        self._require_fit(y)
        info = torch.finfo(y.dtype)
        # Torch's icdf compute 1 - y, 2 y - 1 or (y + 1) / 2, which round to an infinite end next to 0 and 1.
        inside = y.clamp(info.eps / 2, 1 - info.eps)
        if self.closed_inverse:
            x = self.distribution.icdf(inside).to(y.dtype)
            log_slope = -self._log_density(x)
        else:
            x, log_slope = invert(lambda x: self(x, params), inside, self.domain)
        return x, zero_outside((y >= 0) & (y <= 1), log_slope, y)

    def extra_repr(self) -> str:
        return repr(self.distribution)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.distribution = _mapped(self.distribution, fn)
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> DistributionCDF:
        # Distributions whose transforms are inverses of others (Gumbel) do not survive torch's own copying.
        return DistributionCDF(_mapped(self.distribution, torch.clone)).train(self.training)

    def _clamped(self, x: Tensor) -> Tensor:
        """``x`` clamped to where densities and squares are finite: inside the support, and of bounded size."""
        info = torch.finfo(x.dtype)
        low, high, most = self.domain.low, self.domain.high, 1e-3 * math.sqrt(info.max)
        return x.clamp(
            low + max(abs(low) * info.eps, info.tiny) if math.isfinite(low) else -most,
            high - max(abs(high) * info.eps, info.tiny) if math.isfinite(high) else most,
        )

    def _log_density(self, x: Tensor) -> Tensor:
        log_density = self.distribution.log_prob(self._clamped(x)).to(x.dtype)
        return zero_outside((x >= self.domain.low) & (x <= self.domain.high), log_density, x)

    def _require_fit(self, x: Tensor) -> None:
        batch = self.distribution.batch_shape
        wanted = (1,) * (x.ndim - len(batch)) + tuple(batch)
        if len(wanted) > x.ndim or any(w not in (1, n) for w, n in zip(wanted, x.shape, strict=True)):
            raise ShapeError(
                f"{type(self.distribution).__name__} of batch shape {tuple(batch)} expected values that end in it, "
                f"got {tuple(x.shape)}"
            )


def _mapped(value: Any, fn: Callable[[Tensor], Tensor], copies: dict[int, Any] | None = None) -> Any:
    """A copy of a distribution without validation, with ``fn`` applied to its tensors and to those of its components.

    Arguments are clamped into the support first, and validation would branch on data. copies: earlier copies by id,
    because a transform and its inverse refer to each other.
    """
    copies = {} if copies is None else copies
    if isinstance(value, Tensor):
        return fn(value)
    if type(value) in (list, tuple):
        return type(value)(_mapped(part, fn, copies) for part in value)
    if not isinstance(value, Distribution | Transform):
        return value
    if id(value) not in copies:
        twin = copies[id(value)] = copy.copy(value)
        vars(twin).update({name: _mapped(part, fn, copies) for name, part in vars(value).items()})
        if isinstance(twin, Distribution):
            twin._validate_args = False
    return copies[id(value)]


def _has(distribution: Distribution, method: str, point: Tensor) -> bool:
    try:
        getattr(distribution, method)(point)
    except NotImplementedError:
        return False
    return True


def _inner_point(domain: Domain) -> float:
    if math.isfinite(domain.low) and math.isfinite(domain.high):
        return (domain.low + domain.high) / 2
    return domain.low + 1 if math.isfinite(domain.low) else min(0.0, domain.high - 1)


def _support(distribution: Distribution) -> Domain:
    """The interval that every value of the distribution lies in."""
    name = type(distribution).__name__
    if distribution.event_shape:
        raise OptionError(
            f"a map needs a distribution of single numbers; {name} has events of shape "
            f"{tuple(distribution.event_shape)}"
        )
    low, high = ends(distribution, "a map needs a continuous distribution on an interval")
    return Domain("real", _bound(low, -math.inf, name), _bound(high, math.inf, name))


def _bound(bound: End, infinite: float, name: str) -> float:
    if bound is None:
        return infinite
    values = torch.as_tensor(bound)
    if values.numel() == 0 or not bool((values == values.flatten()[0]).all()):
        raise OptionError(f"the bounds of {name} must be the same over its batch; use one map for each interval")
    return float(values.flatten()[0])
