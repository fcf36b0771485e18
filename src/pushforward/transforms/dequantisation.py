"""Dequantisation: integers as real numbers, by noise within each level's cell; uniform, or drawn given the data."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from pushforward.domain import REAL, UNIT, integers
from pushforward.errors import OptionError, ShapeError
from pushforward.events import Shape, sum_event, zero_log_term
from pushforward.noise import DisplacedNoise, Noise, NoiseValue, required_noise
from pushforward.support import zero_outside
from pushforward.transforms.base import Transform, steps
from pushforward.transforms.conditional import ConditionalFlow
from pushforward.transforms.logistic_noise import log_logistic

Law: TypeAlias = Literal["uniform", "variational"]


class Dequantisation(Transform):
    """Dequantisation of integers ``0 .. levels - 1`` to ``y = (x + u) / levels``, with u in [0, 1) drawn from ``q(u |
    x)``.

    With it ``log_prob`` of integer data is a one-draw lower bound on their log-probability; the log term is ``-ln q(u |
    x) - D ln levels``, so that bits/dim is ``-log_prob / (D ln 2)`` with nothing added. Data that are not such integers
    have probability 0. `to_data` maps values outside [0, 1] to the nearest level; the log term there is that of the
    path from which they came. law: the kind of q, ``uniform`` or ``variational``.
    """

    kind = "bound"
    codomain = UNIT
    clamps = True
    law: Law
    noise_to_latent: Noise

    def __init__(self, event_shape: Shape, levels: int, noise: Noise) -> None:
        super().__init__()
        if levels < 2:
            raise OptionError(f"levels must be at least 2, got {levels}")
        self.levels = levels
        self.data_shape = self.latent_shape = tuple(event_shape)
        self.domain = integers(levels)
        self.noise_to_latent = noise
        self._wanted = f"one {noise.law} number per coordinate, in to_latent"
        self._log_levels = math.prod(event_shape) * math.log(levels)

    @abstractmethod
    def _draw(self, x: Tensor, context: Tensor | None, noise: NoiseValue) -> tuple[Tensor, Tensor]:
        """``u`` within the cells of the levels ``x``, and ``ln q(u | x)``, ``(B,)``."""

    @abstractmethod
    def _noise_of(self, u: Tensor, x: Tensor, context: Tensor | None) -> tuple[NoiseValue, Tensor]:
        """The noise from which `_draw` computes ``u``, also beyond [0, 1] where `to_data` clamps; and ``ln q(u |
        x)``."""

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        valid = (x >= 0) & (x <= self.levels - 1) & (x == x.round())
        level = x.clamp(0, self.levels - 1)
        u, log_q = self._draw(level, context, noise)
        log_term = -log_q - self._log_levels
        # NaN stays NaN; anything else that is not a level has probability 0.
        log_term = log_term + sum_event(zero_outside(valid, torch.zeros_like(x, dtype=log_term.dtype), x))
        return (level + u) / self.levels, log_term

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        x = (z * self.levels).floor().clamp(0, self.levels - 1)
        return x, self._noise_of(z * self.levels - x, x, context)[1] + self._log_levels

    def path_noise(self, x: Tensor, z: Tensor, context: Tensor | None = None, back: NoiseValue = None) -> NoiseValue:
        return self._noise_of(z * self.levels - x, x, context)[0]


class Dequantise(Dequantisation):
    """Uniform dequantisation: ``y = (x + u) / levels`` with u uniform on [0, 1), the noise itself.

    Source: Theis, van den Oord & Bethge, "A note on the evaluation of generative models", 2016, section 3.1.

    >>> import torch
    >>> from pushforward.transforms import Dequantise
    >>> step, x = Dequantise((1,), levels=4), torch.tensor([[0], [3]])
    >>> step.to_latent(x, noise=torch.full((2, 1), 0.5))[0].flatten()
    tensor([0.1250, 0.8750])
    """

    law = "uniform"

    def __init__(self, event_shape: Shape, levels: int) -> None:
        super().__init__(event_shape, levels, Noise(tuple(event_shape), "uniform"))

    def _draw(self, x: Tensor, context: Tensor | None, noise: NoiseValue) -> tuple[Tensor, Tensor]:
        return required_noise(noise, self, self._wanted), zero_log_term(x)

    def _noise_of(self, u: Tensor, x: Tensor, context: Tensor | None) -> tuple[NoiseValue, Tensor]:
        return u, zero_log_term(x)


class VariationalDequantise(Dequantisation):
    """Variational dequantisation: a flow conditioned on the data draws u, which makes the bound tighter.

    Normal noise becomes logistic noise, which ``noise_flow.to_data`` maps to ``logit(u)``: as long as that is the
    identity, u is uniform and the bound is that of `Dequantise` (in the paper u starts as the sigmoid of a normal).
    noise_flow: a bijection of events, whose `to_latent` computes the log terms of samples. Its context is ``features(x,
    context)``, with the levels x scaled to [-1, 1]; without features it is ``(B, D + K)``, those levels with the
    context's K numbers after them (see `ConditionalFlow`).

    `path_noise` gives `DisplacedNoise`, which `to_latent` takes too: for values that `to_data` clamped, u lies beyond
    [0, 1], which no noise gives.

    Source: Ho, Chen, Srinivas, Duan & Abbeel, "Flow++", 2019, section 3.1. Raises OptionError, ShapeError.

    >>> from pushforward.transforms import LULinear, VariationalDequantise
    >>> step = VariationalDequantise((2,), levels=4, noise_flow=LULinear(2))
    >>> step.kind, step.law
    ('bound', 'variational')
    """

    law = "variational"

    def __init__(
        self, event_shape: Shape, levels: int, noise_flow: Transform, features: nn.Module | None = None
    ) -> None:
        super().__init__(event_shape, levels, Noise(tuple(event_shape), "normal", displaced=True))
        if not noise_flow.data_shape == noise_flow.latent_shape == self.data_shape:
            raise ShapeError(
                f"noise_flow must map events {self.data_shape} to themselves, "
                f"it maps {noise_flow.data_shape} to {noise_flow.latent_shape}"
            )
        exact = noise_flow.is_bijection and noise_flow.kind == "exact"
        if not exact or not noise_flow.domain == noise_flow.codomain == REAL:
            raise OptionError(
                f"noise_flow must be a bijection of the real line, {type(noise_flow).__name__} is not one"
            )
        self.eager = noise_flow.eager
        self.density = ConditionalFlow(noise_flow, features, law="logistic")

    def _scaled(self, x: Tensor) -> Tensor:
        return x * (2 / (self.levels - 1)) - 1

    def _draw(self, x: Tensor, context: Tensor | None, noise: NoiseValue) -> tuple[Tensor, Tensor]:
        beyond: Tensor | float = 0.0
        if isinstance(noise, DisplacedNoise):
            noise, beyond = noise
        normal = required_noise(noise, self, self._wanted)
        logit, log_q = self.density.draw(normal, self._scaled(x), context)
        return _off_the_edges(logit.sigmoid(), x) + beyond, log_q - sum_event(log_logistic(logit))

    def _noise_of(self, u: Tensor, x: Tensor, context: Tensor | None) -> tuple[NoiseValue, Tensor]:
        inside = _off_the_edges(u, x)
        logit = inside.logit()
        noise, log_q = self.density.noise_of(logit, self._scaled(x), context)
        return DisplacedNoise(noise, u - inside), log_q - sum_event(log_logistic(logit))


def dequantisation(transform: Transform) -> Dequantisation | None:
    """The dequantisation at the start of a transform, None if it has none."""
    first = steps(transform)[0]
    return first if isinstance(first, Dequantisation) else None


def _off_the_edges(u: Tensor, x: Tensor) -> Tensor:
    """``u`` moved by less than the resolution of ``x + u``, so that rounding does not lead to the next level."""
    least = 4 * torch.finfo(u.dtype).eps * (x + 1)
    return u.clamp(least, 1 - least)
