"""Argmax surjections: categories as the index of the largest of real numbers, or as their signs."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn import functional as F

from pushforward.domain import integers
from pushforward.errors import OptionError, ShapeError
from pushforward.events import Shape, sum_event
from pushforward.noise import Noise, NoiseValue, part_noise, required_noise
from pushforward.support import zero_outside
from pushforward.transforms.base import Transform
from pushforward.transforms.conditional import ConditionalFlow
from pushforward.transforms.positive import inverse_softplus, softplus
from pushforward.transforms.preprocessing import Identity


class Argmax(Transform):
    """Categories ``0 .. categories - 1``, which have no order, to real numbers: the step for categorical columns.

    A category becomes as many numbers as there are categories, and is the index of the largest; or, where ``binary``,
    ``ceil(log2(categories))`` numbers, whose signs spell it. Vectors ``(D,)`` become vectors ``(width * D,)``, images
    ``(C, H, W)`` images ``(width * C, H, W)``, the numbers of one category side by side.

    posterior: of unbounded numbers u given the category (in the latent's shape: 1 for the category and 0 for others;
    -1 and 1 for signs), which a softplus takes to where they stand for it, as the paper's thresholding does:
    ``v_i = v_x - softplus(u_x - u_i)`` for ``i`` other than the category ``x``, and ``v = sign softplus(u)``. None:
    standard logistic. Its tails should be no lighter: those of a normal give weights of infinite variance, because the
    softplus turns what is close to a boundary into an exponential tail.

    With it ``log_prob`` of categories is a one-draw lower bound. The regions of all categories cover the whole space:
    where signs spell more than there are categories, the first ones are spelt in two ways.

    Source: Hoogeboom, Nielsen, Jaini, Forre & Welling, "Argmax flows and multinomial diffusion", 2021, section 3.
    Raises OptionError, ShapeError.

    >>> from pushforward.transforms import Argmax
    >>> step = Argmax((2,), categories=3)
    >>> step.data_shape, step.latent_shape, step.kind
    ((2,), (6,), 'bound')
    """

    kind = "bound"

    def __init__(
        self, event_shape: Shape, categories: int, posterior: ConditionalFlow | None = None, binary: bool = False
    ) -> None:
        super().__init__()
        if categories < 2:
            raise OptionError(f"categories must be at least 2, got {categories}")
        self.categories, self.data_shape = categories, tuple(event_shape)
        self.code: _Code = _Signs(categories) if binary else _Largest(categories)
        first, *rest = self.data_shape or (1,)
        self.latent_shape = (first * self.code.width, *rest)
        self.posterior = (
            ConditionalFlow(Identity(self.latent_shape), law="logistic") if posterior is None else posterior
        )
        if self.posterior.event_shape != self.latent_shape:
            raise ShapeError(
                f"the posterior must be of events {self.latent_shape}, it is of {self.posterior.event_shape}"
            )
        self.eager = self.posterior.eager
        self.domain = integers(categories)
        # Which of two ways to spell a category is a draw of its own.
        choice = Noise(self.data_shape, "uniform") if self.code.ambiguous else None
        self.noise_to_latent = (self.posterior.noise, choice)

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        for_posterior, for_spelling = part_noise(noise, 2)
        normal = required_noise(for_posterior, self, "of the posterior, in to_latent")
        valid = (x >= 0) & (x <= self.categories - 1) & (x == x.round())
        category = torch.where(valid, x, 0.0)
        spelt = self.code.spelt(category, for_spelling)
        u, log_q = self.posterior.draw(normal, self._join(self.code.shown(spelt, x)), context)
        v, log_slope = self.code.placed(self._split(u), spelt)
        log_term = sum_event(log_slope.sum(-1) + self.code.log_ways(category)) - log_q
        # NaN stays NaN; anything else that is not a category has probability 0.
        log_term = log_term + sum_event(zero_outside(valid, torch.zeros_like(x, dtype=log_term.dtype), x))
        return self._join(v), log_term

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        x, _, log_q, log_slope = self._recover(z, context)
        return x, log_q - sum_event(log_slope.sum(-1) + self.code.log_ways(x))

    def path_noise(self, x: Tensor, z: Tensor, context: Tensor | None = None, back: NoiseValue = None) -> NoiseValue:
        choice = self.code.choice(self.code.read(self._split(z))).to(x) if self.code.ambiguous else None
        return self._recover(z, context)[1], choice

    def _recover(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The categories, the posterior's noise, its log-density at u, and the log-slopes from u to ``z``."""
        v = self._split(z)
        spelt = self.code.read(v)
        u, log_slope = self.code.unplaced(v, spelt)
        noise, log_q = self.posterior.noise_of(self._join(u), self._join(self.code.shown(spelt, z)), context)
        return self.code.category(spelt).to(z), noise, log_q, log_slope

    def _split(self, z: Tensor) -> Tensor:
        """Latents as ``(B, *event_shape, width)``."""
        if not self.data_shape:
            return z
        blocks: Tensor = z.unflatten(1, (self.data_shape[0], self.code.width))
        return blocks.movedim(2, -1)

    def _join(self, v: Tensor) -> Tensor:
        """What `_split` takes apart."""
        return v.movedim(-1, 2).flatten(1, 2) if self.data_shape else v


class _Code(ABC):
    """How a category is written as real numbers: ``width`` of them. A spelling is an integer, of one category."""

    width: int
    ambiguous = False  # whether some categories have two spellings

    @abstractmethod
    def spelt(self, category: Tensor, choice: NoiseValue) -> Tensor:
        """The spelling of each category, an integer; choice: uniform noise where it is ambiguous."""

    @abstractmethod
    def category(self, spelt: Tensor) -> Tensor:
        """The category that is spelt so."""

    @abstractmethod
    def log_ways(self, category: Tensor) -> Tensor:
        """The log of the number of ways to spell a category, which are equally likely."""

    @abstractmethod
    def choice(self, spelt: Tensor) -> Tensor:
        """Noise from which `spelt` makes this spelling."""

    @abstractmethod
    def shown(self, spelt: Tensor, like: Tensor) -> Tensor:
        """The spelling as numbers ``(..., width)`` for a net, in the dtype of ``like``."""

    @abstractmethod
    def placed(self, u: Tensor, spelt: Tensor) -> tuple[Tensor, Tensor]:
        """Numbers ``(..., width)`` moved to where they stand for the spelling, and the log-slope of each."""

    @abstractmethod
    def unplaced(self, v: Tensor, spelt: Tensor) -> tuple[Tensor, Tensor]:
        """What `placed` moves to ``v``, and its log-slopes there."""

    @abstractmethod
    def read(self, v: Tensor) -> Tensor:
        """The spelling that numbers ``(..., width)`` stand for."""


class _Largest(_Code):
    """The category is the index of the largest number."""

    def __init__(self, categories: int) -> None:
        self.width = categories

    def spelt(self, category: Tensor, choice: NoiseValue) -> Tensor:
        return category.long()

    def category(self, spelt: Tensor) -> Tensor:
        return spelt

    def log_ways(self, category: Tensor) -> Tensor:
        return torch.zeros_like(category)

    def choice(self, spelt: Tensor) -> Tensor:
        return torch.zeros_like(spelt)

    def _is_largest(self, spelt: Tensor) -> Tensor:
        return spelt[..., None] == torch.arange(self.width, device=spelt.device)

    def shown(self, spelt: Tensor, like: Tensor) -> Tensor:
        return self._is_largest(spelt).to(like)

    def placed(self, u: Tensor, spelt: Tensor) -> tuple[Tensor, Tensor]:
        largest, top = self._is_largest(spelt), u.gather(-1, spelt[..., None])
        below = top - u
        # By so much that no rounding makes a tie of it, in which another index might come first.
        least = 4 * torch.finfo(u.dtype).eps * top.abs().clamp(min=1)
        v = top - torch.maximum(softplus(below), least)
        return torch.where(largest, u, v), torch.where(largest, 0.0, F.logsigmoid(below))

    def unplaced(self, v: Tensor, spelt: Tensor) -> tuple[Tensor, Tensor]:
        largest, top = self._is_largest(spelt), v.gather(-1, spelt[..., None])
        below, log_slope = inverse_softplus(_apart(torch.where(largest, 1.0, top - v)))
        return torch.where(largest, v, top - below), torch.where(largest, 0.0, -log_slope)

    def read(self, v: Tensor) -> Tensor:
        return v.argmax(-1)


class _Signs(_Code):
    """The category is the binary number that the signs spell; what lies beyond the last one begins again at 0."""

    def __init__(self, categories: int) -> None:
        self.categories = categories
        self.width = (categories - 1).bit_length()
        self.twice = 2**self.width - categories  # so many categories, the first ones, have two spellings
        self.ambiguous = self.twice > 0

    def spelt(self, category: Tensor, choice: NoiseValue) -> Tensor:
        spelt = category.long()
        if not isinstance(choice, Tensor):
            return spelt
        return torch.where((spelt < self.twice) & (choice >= 0.5), spelt + self.categories, spelt)

    def category(self, spelt: Tensor) -> Tensor:
        return torch.where(spelt < self.categories, spelt, spelt - self.categories)

    def log_ways(self, category: Tensor) -> Tensor:
        ways: Tensor = 1 + (category < self.twice).to(category)
        return ways.log()

    def choice(self, spelt: Tensor) -> Tensor:
        return torch.where(spelt < self.categories, 0.25, 0.75)

    def _weights(self, spelt: Tensor) -> Tensor:
        return 2 ** torch.arange(self.width, device=spelt.device)

    def shown(self, spelt: Tensor, like: Tensor) -> Tensor:
        bits = (spelt[..., None] // self._weights(spelt)) % 2
        return (2 * bits - 1).to(like)

    def placed(self, u: Tensor, spelt: Tensor) -> tuple[Tensor, Tensor]:
        # Above 0 also where the softplus underflows: 0 has no sign.
        size = softplus(u).clamp(min=torch.finfo(u.dtype).tiny)
        return self.shown(spelt, u) * size, F.logsigmoid(u)

    def unplaced(self, v: Tensor, spelt: Tensor) -> tuple[Tensor, Tensor]:
        u, log_slope = inverse_softplus(_apart(v.abs()))
        return u, -log_slope

    def read(self, v: Tensor) -> Tensor:
        return ((v > 0) * self._weights(v)).sum(-1)


def _apart(distance: Tensor) -> Tensor:
    """Distances from a boundary, none so small that the gradient of the log-density there would overflow."""
    return distance.clamp(min=torch.finfo(distance.dtype).tiny ** 0.5)
