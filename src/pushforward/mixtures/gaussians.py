"""What a mixture asks of its Gaussian components, whatever the structure of their covariances."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Self

import torch
from torch import Tensor


class Block(ABC):
    """Some rows, with the terms that their densities and their statistics share. rows: ``(n,)``, their numbers."""

    rows: Tensor

    @abstractmethod
    def log_densities(self) -> Tensor:
        """``(n, K)``: the log-density of each row's present values in each component."""

    @abstractmethod
    def add(self, responsibilities: Tensor, statistics: Any) -> None:
        """Add the rows, weighted by ``responsibilities: (n, K)``, to the statistics in place."""


class Gaussians(ABC):
    """K Gaussians of D values. Statistics are those of `no_statistics` and have ``counts: (K,)``, sums of weights."""

    means: Tensor

    def __len__(self) -> int:
        return len(self.means)

    @property
    def columns(self) -> int:
        """The number of values of a row."""
        return self.means.shape[1]

    @property
    def factors(self) -> int:
        """The number of factors of low-rank covariances, 0 for full ones."""
        return 0

    @abstractmethod
    def blocks(self, values: Tensor, present: Tensor) -> Iterator[Block]:
        """Every row of ``values: (N, D)``, in blocks of bounded memory."""

    @abstractmethod
    def no_statistics(self) -> Any:
        """Statistics of no rows."""

    @abstractmethod
    def updated(self, statistics: Any, strength: float) -> Self:
        """The components of greatest expected likelihood, given ``strength`` rows more of what all rows share."""

    @abstractmethod
    def chosen(self, components: Tensor) -> Self:
        """The components numbered ``components``, in that order."""

    @abstractmethod
    def joined(self, others: Sequence[Self]) -> Self:
        """These components and those of ``others``."""

    @abstractmethod
    def split(self, generator: torch.Generator) -> tuple[Self, Self]:
        """Two halves of each component, apart along a direction of large variance."""

    @abstractmethod
    def draw(self, component: Tensor, values: Tensor, present: Tensor, generator: torch.Generator) -> Tensor:
        """``values`` with absent ones drawn from the component ``component: (N,)`` of each row, given the others."""

    @abstractmethod
    def conditional(self, column: int, values: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Means and variances ``(N, K)`` of one absent column in each component, given the present ones of each row."""

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """The numbers that define the components, by the names of the constructor's arguments."""

    @classmethod
    @abstractmethod
    def shapes(cls, components: int, columns: int, factors: int) -> dict[str, tuple[int, ...]]:
        """The shapes of `tensors`; ``factors`` is the number of factors of low-rank covariances, else 0."""
