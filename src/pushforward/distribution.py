"""A flow as an object of ``torch.distributions``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NoReturn

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints

from pushforward.density import Density
from pushforward.domain import Domain
from pushforward.errors import ShapeError
from pushforward.inputs import TensorLike

_ONE = Size()  # the shape of one sample


class FlowDistribution(Distribution):
    """The density of a flow as a ``torch.distributions.Distribution``, for given contexts.

    One context, or none, gives an empty batch shape, and B contexts the batch shape ``(B,)``; `expand` gives others.
    `log_prob` takes values whose last axes are ``event_shape``, and raises ShapeError, a ValueError, for others;
    outside the support it is -inf. A flow on integers has no `rsample`. Moments and the entropy have no closed form:
    they raise NotImplementedError, which says how to estimate them.
    """

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, flow: Density, context: TensorLike | None = None) -> None:
        contexts = flow.context_values(context)
        batch = Size() if contexts is None or len(contexts) == 1 else Size([len(contexts)])
        if contexts is not None:
            contexts = contexts.reshape(batch + contexts.shape[1:])
        self._set(flow, contexts, batch)

    def _set(self, flow: Density, contexts: Tensor | None, batch: Size) -> None:
        """contexts: ``(*batch, *context_shape)``."""
        self.flow, self.contexts = flow, contexts
        self.has_rsample = not _is_discrete(flow.transform.domain)
        super().__init__(batch, Size(flow.event_shape), validate_args=False)

    def __repr__(self) -> str:
        return f"FlowDistribution(batch_shape={tuple(self.batch_shape)}, event_shape={tuple(self.event_shape)})"

    @property
    def support(self) -> constraints.Constraint:
        """Where the density may be above zero: the domain of the flow, a constraint of the rank of its events."""
        return _constraint(self.flow.transform.domain, len(self.event_shape))

    def expand(self, batch_shape: Size | Sequence[int], _instance: Any = None) -> FlowDistribution:
        """The same distribution with a batch shape that the present one broadcasts to."""
        batch, contexts = Size(batch_shape), self.contexts
        if _broadcast(batch, self.batch_shape) != batch:
            raise ShapeError(f"batch shape {tuple(self.batch_shape)} cannot be expanded to {tuple(batch)}")
        if contexts is not None:
            contexts = contexts.expand(batch + self._context_shape)
        expanded = FlowDistribution.__new__(FlowDistribution)
        expanded._set(self.flow, contexts, batch)
        return expanded

    def log_prob(self, value: Tensor) -> Tensor:
        """The log-density ``(*sample_shape, *batch_shape)`` of values ``(*sample_shape, *batch_shape, *event_shape)``.

        Axes before the event broadcast with the batch shape. Raises ShapeError, DtypeError.
        """
        event, rank = self.event_shape, len(self.event_shape)
        given = value.shape[: value.ndim - rank]
        lead = _broadcast(given, self.batch_shape)
        if value.ndim < rank or value.shape[value.ndim - rank :] != event or lead is None:
            raise ShapeError(
                f"values of shape (..., {', '.join(map(str, (*self.batch_shape, *event)))}) expected, "
                f"got {tuple(value.shape)}"
            )
        rows, contexts = value.expand(lead + event).reshape(lead.numel(), *event), self.contexts
        if contexts is not None:
            contexts = contexts.expand(lead + self._context_shape).reshape(lead.numel(), *self._context_shape)
        return self.flow.log_prob(rows, contexts).reshape(lead)

    def sample(self, sample_shape: Size | Sequence[int] = _ONE) -> Tensor:
        """Samples ``(*sample_shape, *batch_shape, *event_shape)`` without gradients."""
        return self._draw(Size(sample_shape), gradients=False)

    def rsample(self, sample_shape: Size | Sequence[int] = _ONE) -> Tensor:
        """Samples as `sample` returns them, with gradients to the flow's weights and contexts."""
        if not self.has_rsample:
            raise NotImplementedError("a flow on integers has no reparameterised samples; use sample")
        return self._draw(Size(sample_shape), gradients=True)

    def _draw(self, sample_shape: Size, gradients: bool) -> Tensor:
        shape, contexts = sample_shape + self.batch_shape, self.contexts
        if contexts is None:
            x = self.flow.sample(shape.numel(), gradients=gradients)
        else:
            rows = contexts.reshape(self.batch_shape.numel(), *self._context_shape)
            x = self.flow.sample(sample_shape.numel(), rows, gradients=gradients)
        return x.reshape(shape + self.event_shape)

    @property
    def mean(self) -> Tensor:
        _no_closed_form("mean", "distribution.sample((10_000,)).mean(0)")

    @property
    def variance(self) -> Tensor:
        _no_closed_form("variance", "distribution.sample((10_000,)).var(0)")

    @property
    def mode(self) -> Tensor:
        _no_closed_form("mode", "the sample with the largest log_prob among distribution.sample((10_000,))")

    def entropy(self) -> Tensor:
        """Not implemented: it has no closed form."""
        _no_closed_form("entropy", "-distribution.log_prob(distribution.sample((10_000,))).mean(0)")

    def cdf(self, value: Tensor) -> Tensor:
        """Not implemented: it has no closed form."""
        _no_closed_form("distribution function", "(distribution.sample((10_000,)) <= value).all(-1).double().mean(0)")

    @property
    def _context_shape(self) -> Size:
        return Size(self.flow.context_shape or ())


def _no_closed_form(what: str, estimate: str) -> NoReturn:
    raise NotImplementedError(f"the {what} of a flow has no closed form; estimate it from samples, as {estimate}")


def _broadcast(first: Size, second: Size) -> Size | None:
    """The shape that two shapes broadcast to, None where they do not."""
    try:
        return Size(torch.broadcast_shapes(first, second))
    except RuntimeError:
        return None


def _is_discrete(domain: Domain) -> bool:
    return domain.kind == "integers" or any(_is_discrete(part) for part in domain.parts)


def _constraint(domain: Domain, rank: int) -> constraints.Constraint:
    """A domain of events of ``rank`` axes as torch's constraint."""
    if domain.kind == "product":
        return constraints.stack([_constraint(part, 0) for part in domain.parts], -1)
    if domain.kind == "ordered":
        return _Ordered(domain)
    return constraints.independent(_of_coordinate(domain), rank) if rank else _of_coordinate(domain)


def _of_coordinate(domain: Domain) -> constraints.Constraint:
    if domain.kind == "integers":
        return constraints.integer_interval(int(domain.low), int(domain.high))
    low, high = (math.isfinite(end) and not domain.wraps for end in (domain.low, domain.high))
    if low and high:
        return constraints.interval(domain.low, domain.high)
    if low:
        return constraints.greater_than(domain.low)
    return constraints.less_than(domain.high) if high else constraints.real


class _Ordered(constraints.Constraint):
    """Vectors whose coordinates ascend, within the ends of a domain."""

    event_dim = 1

    def __init__(self, domain: Domain) -> None:
        self.domain = domain

    def check(self, value: Tensor) -> Tensor:
        inside = (value >= self.domain.low) & (value <= self.domain.high)
        return inside.all(-1) & (value.diff(dim=-1) >= 0).all(-1)
