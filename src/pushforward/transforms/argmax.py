"""Argmax surjections: categories as the index of the largest of several real numbers, or as their signs."""

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
    """A surjection from unordered categories ``0 .. categories - 1`` to real numbers, for categorical columns.

    A category becomes as many numbers as there are categories, the largest of which is at its index. With ``binary`` it
    becomes ``ceil(log2(categories))`` numbers, whose signs are its binary digits. Vectors ``(D,)`` become vectors
    ``(width * D,)``, images ``(C, H, W)`` images ``(width * C, H, W)``, the numbers of one category side by side.

    posterior: distribution of unbounded numbers u given the category (in the latent's shape: 1 for the category and 0
    for others; -1 and 1 for signs). A softplus maps u to the region of its category, as the paper's thresholding: ``v_i
    = v_x - softplus(u_x - u_i)`` for ``i`` other than the category ``x``, and ``v = sign softplus(u)``. None: standard
    logistic. Its tails should be no lighter than that: normal tails give importance weights of infinite variance,
    because the softplus turns the vicinity of a boundary into an exponential tail.

    With it ``log_prob`` of categories is a one-draw lower bound. The regions of all categories cover the whole space:
    where signs have more spellings than there are categories, the first categories have two spellings.

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
            raise ShapeError(f"the posterior must have events {self.latent_shape}, got {self.posterior.event_shape}")
        self.eager = self.posterior.eager
        self.domain = integers(categories)
        # The choice between two spellings of a category is an extra draw.
        choice = Noise(self.data_shape, "uniform") if self.code.ambiguous else None
        self.noise_to_latent = (self.posterior.noise, choice)

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        for_posterior, for_choice = part_noise(noise, 2)
        normal = required_noise(for_posterior, self, "of the posterior, in to_latent")
        valid = (x >= 0) & (x <= self.categories - 1) & (x == x.round())
        category = torch.where(valid, x, 0.0)
        spelling = self.code.spell(category, for_choice)
        u, log_q = self.posterior.draw(normal, self._join(self.code.features(spelling, x)), context)
        v, log_slope = self.code.place(self._split(u), spelling)
        log_term = sum_event(log_slope.sum(-1) + self.code.log_spellings(category)) - log_q
        # NaN stays NaN; anything else that is not a category has probability 0.
        log_term = log_term + sum_event(zero_outside(valid, torch.zeros_like(x, dtype=log_term.dtype), x))
        return self._join(v), log_term

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        x, _, log_q, log_slope = self._recover(z, context)
        return x, log_q - sum_event(log_slope.sum(-1) + self.code.log_spellings(x))

    def path_noise(self, x: Tensor, z: Tensor, context: Tensor | None = None, back: NoiseValue = None) -> NoiseValue:
        choice = self.code.choice(self.code.read(self._split(z))).to(x) if self.code.ambiguous else None
        return self._recover(z, context)[1], choice

    def _recover(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The categories, the posterior's noise, its log-density at u, and the log-slopes from u to ``z``."""
        v = self._split(z)
        spelling = self.code.read(v)
        u, log_slope = self.code.unplace(v, spelling)
        noise, log_q = self.posterior.noise_of(self._join(u), self._join(self.code.features(spelling, z)), context)
        return self.code.category(spelling).to(z), noise, log_q, log_slope

    def _split(self, z: Tensor) -> Tensor:
        """Latents as ``(B, *event_shape, width)``."""
        if not self.data_shape:
            return z
        blocks: Tensor = z.unflatten(1, (self.data_shape[0], self.code.width))
        return blocks.movedim(2, -1)

    def _join(self, v: Tensor) -> Tensor:
        """The inverse of `_split`."""
        return v.movedim(-1, 2).flatten(1, 2) if self.data_shape else v


class _Code(ABC):
    """A code of categories by the regions of ``width`` real numbers. A spelling is an integer that names a region."""

    width: int
    ambiguous = False  # whether some categories have two spellings

    @abstractmethod
    def spell(self, category: Tensor, choice: NoiseValue) -> Tensor:
        """The spelling of each category, an integer; choice: uniform noise where it is ambiguous."""

    @abstractmethod
    def category(self, spelling: Tensor) -> Tensor:
        """The category of each spelling."""

    @abstractmethod
    def log_spellings(self, category: Tensor) -> Tensor:
        """The log of the number of spellings of a category, which are equally likely."""

    @abstractmethod
    def choice(self, spelling: Tensor) -> Tensor:
        """Noise for which `spell` returns this spelling."""

    @abstractmethod
    def features(self, spelling: Tensor, like: Tensor) -> Tensor:
        """The spelling as numbers ``(..., width)`` for a net, in the dtype of ``like``."""

    @abstractmethod
    def place(self, u: Tensor, spelling: Tensor) -> tuple[Tensor, Tensor]:
        """Numbers ``(..., width)`` mapped into the region of the spelling, and the log-slope of each."""

    @abstractmethod
    def unplace(self, v: Tensor, spelling: Tensor) -> tuple[Tensor, Tensor]:
        """The numbers that `place` maps to ``v``, and its log-slopes there."""

    @abstractmethod
    def read(self, v: Tensor) -> Tensor:
        """The spelling of the region of numbers ``(..., width)``."""


class _Largest(_Code):
    """The category is the index of the largest number."""

    def __init__(self, categories: int) -> None:
        self.width = categories

    def spell(self, category: Tensor, choice: NoiseValue) -> Tensor:
        return category.long()

    def category(self, spelling: Tensor) -> Tensor:
        return spelling

    def log_spellings(self, category: Tensor) -> Tensor:
        return torch.zeros_like(category)

    def choice(self, spelling: Tensor) -> Tensor:
        return torch.zeros_like(spelling)

    def _is_largest(self, spelling: Tensor) -> Tensor:
        return spelling[..., None] == torch.arange(self.width, device=spelling.device)

    def features(self, spelling: Tensor, like: Tensor) -> Tensor:
        return self._is_largest(spelling).to(like)

    def place(self, u: Tensor, spelling: Tensor) -> tuple[Tensor, Tensor]:
        largest, top = self._is_largest(spelling), u.gather(-1, spelling[..., None])
        below = top - u
        # The distance is large enough to prevent ties by rounding, in which another index might come first.
        least = 4 * torch.finfo(u.dtype).eps * top.abs().clamp(min=1)
        v = top - torch.maximum(softplus(below), least)
        return torch.where(largest, u, v), torch.where(largest, 0.0, F.logsigmoid(below))

    def unplace(self, v: Tensor, spelling: Tensor) -> tuple[Tensor, Tensor]:
        largest, top = self._is_largest(spelling), v.gather(-1, spelling[..., None])
        below, log_slope = inverse_softplus(_off_boundary(torch.where(largest, 1.0, top - v)))
        return torch.where(largest, v, top - below), torch.where(largest, 0.0, -log_slope)

    def read(self, v: Tensor) -> Tensor:
        return v.argmax(-1)


class _Signs(_Code):
    """The category is the binary number of the signs; numbers beyond the last category begin again at 0."""

    def __init__(self, categories: int) -> None:
        self.categories = categories
        self.width = (categories - 1).bit_length()
        self.with_two = 2**self.width - categories  # number of categories, the first ones, with two spellings
        self.ambiguous = self.with_two > 0

    def spell(self, category: Tensor, choice: NoiseValue) -> Tensor:
        spelling = category.long()
        if not isinstance(choice, Tensor):
            return spelling
        return torch.where((spelling < self.with_two) & (choice >= 0.5), spelling + self.categories, spelling)

    def category(self, spelling: Tensor) -> Tensor:
        return torch.where(spelling < self.categories, spelling, spelling - self.categories)

    def log_spellings(self, category: Tensor) -> Tensor:
        ways: Tensor = 1 + (category < self.with_two).to(category)
        return ways.log()

    def choice(self, spelling: Tensor) -> Tensor:
        return torch.where(spelling < self.categories, 0.25, 0.75)

    def _weights(self, spelling: Tensor) -> Tensor:
        return 2 ** torch.arange(self.width, device=spelling.device)

    def features(self, spelling: Tensor, like: Tensor) -> Tensor:
        bits = (spelling[..., None] // self._weights(spelling)) % 2
        return (2 * bits - 1).to(like)

    def place(self, u: Tensor, spelling: Tensor) -> tuple[Tensor, Tensor]:
        # Above 0 also where the softplus underflows: 0 has no sign.
        size = softplus(u).clamp(min=torch.finfo(u.dtype).tiny)
        return self.features(spelling, u) * size, F.logsigmoid(u)

    def unplace(self, v: Tensor, spelling: Tensor) -> tuple[Tensor, Tensor]:
        u, log_slope = inverse_softplus(_off_boundary(v.abs()))
        return u, -log_slope

    def read(self, v: Tensor) -> Tensor:
        return ((v > 0) * self._weights(v)).sum(-1)


def _off_boundary(distance: Tensor) -> Tensor:
    """Distances from a boundary, clamped so that the gradient of the log-density there does not overflow."""
    return distance.clamp(min=torch.finfo(distance.dtype).tiny ** 0.5)
