"""Conditional densities whose samples are functions of noise that is passed in, for surjections and augmentation."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from pushforward.domain import REAL, Domain
from pushforward.errors import OptionError
from pushforward.events import Shape, log_dtype, sum_event
from pushforward.maps.affine import DENSITY_LIMIT, Affine, SoftClampScale
from pushforward.nets.mlp import MLP
from pushforward.noise import Noise
from pushforward.support import zero_outside
from pushforward.transforms.base import Transform
from pushforward.transforms.elementwise import Elementwise
from pushforward.transforms.logistic_noise import as_logistic, as_normal, log_logistic

PositiveLaw: TypeAlias = Literal["half-normal", "exponential"]
_FAR = 1e15


class Conditional(nn.Module, ABC):
    """A density of values ``(B, *event_shape)`` given other values and a context.

    A base draws its own samples. A `Conditional` is a function of the noise that it declares, as a transform needs that
    draws the values it dropped. Attributes that a subclass sets: ``event_shape``; ``support``, where the values lie;
    ``noise``, which `draw` needs; ``eager``, as of a transform.
    """

    event_shape: Shape
    support: Domain = REAL
    noise: Noise
    eager: str | None = None

    @abstractmethod
    def log_prob(self, value: Tensor, given: Tensor, context: Tensor | None = None) -> Tensor:
        """Log-density (B,) of ``value: (B, *event_shape)`` given ``given: (B, ...)``; -inf outside the support."""

    @abstractmethod
    def draw(self, noise: Tensor, given: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The value computed from the noise, and its log-density."""


class ConditionalFlow(Conditional):
    """A conditional density from a bijection: `to_data` maps noise to values, with the given values as context.

    law: distribution of the bijection's latents, ``normal`` or, for heavier tails, ``logistic``; the noise is normal.
    transform: a bijection of the values to the real line. Its context is ``features(given, context)``; without features
    it is ``(B, G + K)``, the ``G`` numbers that are given with the context's ``K`` numbers after them, and a transform
    without a context ignores it. Raises OptionError.

    >>> import torch
    >>> from pushforward.transforms.conditional import conditional_gaussian
    >>> density = conditional_gaussian((2,), 3)
    >>> density.log_prob(torch.zeros(4, 2), torch.zeros(4, 3)).shape
    torch.Size([4])
    """

    def __init__(
        self, transform: Transform, features: nn.Module | None = None, law: Literal["normal", "logistic"] = "normal"
    ) -> None:
        super().__init__()
        if law not in ("normal", "logistic"):
            raise OptionError(f"law {law!r} of a ConditionalFlow is not known; expected normal or logistic")
        if not transform.is_bijection or transform.kind != "exact" or transform.codomain != REAL:
            raise OptionError(
                f"a ConditionalFlow takes a bijection to the real line, {type(transform).__name__} is not one"
            )
        self.transform, self.features, self.law = transform, features, law
        self.event_shape, self.support = transform.data_shape, transform.domain
        self.noise, self.eager = Noise(transform.latent_shape, "normal"), transform.eager

    def condition(self, given: Tensor, context: Tensor | None = None) -> Tensor:
        """The context of the bijection, from the given values."""
        if self.features is not None:
            condition: Tensor = self.features(given, context)
            return condition
        return given.flatten(1) if context is None else torch.cat([given.flatten(1), context.flatten(1)], 1)

    def noise_of(self, value: Tensor, given: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The noise from which `draw` computes ``value``, and the log-density (B,) of ``value``."""
        y, log_term = self.transform.to_latent(value, self.condition(given, context))
        noise = y if self.law == "normal" else as_normal(y)
        return noise, self._log_law(y) + log_term

    def log_prob(self, value: Tensor, given: Tensor, context: Tensor | None = None) -> Tensor:
        return self.noise_of(value, given, context)[1]

    def draw(self, noise: Tensor, given: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        y = noise if self.law == "normal" else as_logistic(noise)
        value, log_term = self.transform.to_data(y, self.condition(given, context))
        return value, self._log_law(y) - log_term

    def _log_law(self, y: Tensor) -> Tensor:
        # Further out the density is 0 in any precision, and derivatives, which grow with the square, would overflow.
        y = y.clamp(-_FAR, _FAR)
        each = -0.5 * y.square() - 0.5 * math.log(2 * math.pi) if self.law == "normal" else log_logistic(y)
        return sum_event(each)


class HalfLine(Conditional):
    """Independent positive values: half-normal, or exponential, each with a learned scale that starts at 1.

    net: called as ``net(given, context)``, returns ``(B, *event_shape)``, which is added to the log-scales before these
    are bounded; None: constant scales. Both densities are finite at 0, the difference of equal values.

    >>> import torch
    >>> from pushforward.transforms import HalfLine
    >>> HalfLine((1,), law="exponential").log_prob(torch.ones(1, 1), torch.zeros(1, 1)).item()
    -1.0
    """

    support = Domain("real", 0.0)

    def __init__(self, event_shape: Shape, law: PositiveLaw = "half-normal", net: nn.Module | None = None) -> None:
        super().__init__()
        if law not in ("half-normal", "exponential"):
            raise OptionError(f"law {law!r} of positive values is not known; expected half-normal or exponential")
        self.event_shape, self.law, self.net = tuple(event_shape), law, net
        self.noise = Noise(self.event_shape, "normal" if law == "half-normal" else "uniform")
        # One per channel of images, one per coordinate of vectors.
        shared = self.event_shape[:1] + (1,) * (len(self.event_shape) - 1)
        self.raw_scale = nn.Parameter(torch.zeros(shared))
        self.scale = SoftClampScale(DENSITY_LIMIT)

    def extra_repr(self) -> str:
        return self.law

    def _log_scale(self, given: Tensor, context: Tensor | None) -> Tensor:
        raw = self.raw_scale
        if self.net is not None:
            raw = raw + self.net(given, context).to(log_dtype(given)).reshape(-1, *self.event_shape)
        log_scale: Tensor = self.scale(raw)
        return log_scale.expand(given.shape[0], *self.event_shape)

    def _log_unit(self, y: Tensor) -> Tensor:
        """The log-density of the distribution of scale 1 at ``y >= 0``."""
        return -y if self.law == "exponential" else -0.5 * y.square() + 0.5 * math.log(2 / math.pi)

    def log_prob(self, value: Tensor, given: Tensor, context: Tensor | None = None) -> Tensor:
        log_scale = self._log_scale(given, context)
        log_value = self._log_unit(value.clamp(min=0) * (-log_scale).exp()) - log_scale
        return sum_event(zero_outside(value >= 0, log_value, value))

    def draw(self, noise: Tensor, given: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        y = noise.abs() if self.law == "half-normal" else -torch.log1p(-noise)
        log_scale = self._log_scale(given, context)
        return y * log_scale.exp().to(y), sum_event(self._log_unit(y) - log_scale)


class _NetOfContext(nn.Module):
    """An MLP of the context alone, under the name that its tensors have in saved models: ``net.net``."""

    def __init__(self, net: MLP) -> None:
        super().__init__()
        self.net = net

    def forward(self, context: Tensor) -> Tensor:
        out: Tensor = self.net(context)
        return out


def conditional_gaussian(
    event_shape: Shape,
    given: int,
    context_dim: int = 0,
    hidden: Sequence[int] = (64, 64),
    law: Literal["normal", "logistic"] = "normal",
    zero: bool = True,
) -> ConditionalFlow:
    """Independent values whose means and log-scales a net computes from ``given`` numbers and the context's.

    zero: start at the standard distribution, whatever is conditioned on; else at random means and scales near it.
    """
    if given + context_dim < 1:
        raise OptionError("conditional_gaussian needs inputs or a context, got neither")
    map = Affine(SoftClampScale())
    outputs = map.n_params * math.prod(event_shape)
    net = _NetOfContext(MLP(given + context_dim, outputs, hidden, activation="silu", zero=zero))
    return ConditionalFlow(Elementwise(map, tuple(event_shape), net), law=law)
