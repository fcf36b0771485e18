"""Independent probability tables of discrete columns, one set for each component of a mixture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, eq=False)
class Tables:
    """Probabilities of the states of S columns in each of K components.

    columns: S tensors ``(states, K)``. common: S tensors ``(states,)``, the probabilities in all rows, towards which
    the table of a component of few rows is pulled.
    """

    columns: tuple[Tensor, ...]
    common: tuple[Tensor, ...]

    @classmethod
    def single(cls, states: Tensor, counts: Sequence[int], weights: Tensor) -> Tables:
        """The tables of all rows; half a row more in each state leaves none without probability."""
        common = []
        for column, count in enumerate(counts):
            sums = _sums(states[:, column], weights[:, None], count)[:, 0] + 0.5
            common.append(sums / sums.sum())
        return cls(tuple(table[:, None] for table in common), tuple(common))

    def log_probabilities(self, states: Tensor, components: int) -> Tensor:
        """``(N, K)``: the log-probability of the known states of each row in each component."""
        if not self.columns:
            return torch.zeros(len(states), components, dtype=torch.float64)
        counts = torch.tensor([len(table) for table in self.columns])
        # The last entry of a table belongs to an unknown state: a sum over all states.
        logs = torch.cat([F.pad(table.log(), (0, 0, 0, 1)) for table in self.columns])
        places = torch.where(states < 0, counts, states) + (counts + 1).cumsum(0) - counts - 1
        return F.embedding_bag(places, logs, mode="sum")

    def no_counts(self) -> list[Tensor]:
        """Counts of no rows."""
        return [torch.zeros_like(table) for table in self.columns]

    def add(self, states: Tensor, responsibilities: Tensor, counts: list[Tensor]) -> None:
        """Add rows, weighted by ``responsibilities: (n, K)``, to the counts."""
        for column, sums in enumerate(counts):
            sums += _sums(states[:, column], responsibilities, len(sums))

    def updated(self, counts: Sequence[Tensor], strength: float) -> Tables:
        """The tables that maximise the expected likelihood, with ``strength`` rows of all rows' probabilities more."""
        columns = (
            (sums + strength * common[:, None]) / (sums.sum(0) + strength)
            for sums, common in zip(counts, self.common, strict=True)
        )
        return Tables(tuple(columns), self.common)

    def chosen(self, components: Tensor) -> Tables:
        """The tables of the components numbered ``components``, in that order."""
        return Tables(tuple(table[:, components] for table in self.columns), self.common)

    def split(self, generator: torch.Generator) -> tuple[Tables, Tables]:
        """Two tilted copies of the tables of each component."""
        first, second = [], []
        for table in self.columns:
            tilt = torch.randn(table.shape, generator=generator, dtype=torch.float64) / 2
            first.append((table.log() + tilt).softmax(0))
            second.append((table.log() - tilt).softmax(0))
        return Tables(tuple(first), self.common), Tables(tuple(second), self.common)

    def draw(self, component: Tensor, states: Tensor, generator: torch.Generator) -> Tensor:
        """``states`` with unknown ones drawn from the component ``component: (N,)`` of each row."""
        drawn = states.clone()
        for column, table in enumerate(self.columns):
            rows = (states[:, column] < 0).nonzero()[:, 0]
            levels = table.cumsum(0).T.contiguous()[component[rows]]
            uniform = torch.rand(len(rows), 1, generator=generator, dtype=torch.float64) * levels[:, -1:]
            drawn[rows, column] = (uniform > levels[:, :-1]).sum(1)
        return drawn


def _sums(states: Tensor, weights: Tensor, count: int) -> Tensor:
    known = states >= 0
    sums = torch.zeros(count, weights.shape[1], dtype=torch.float64)
    return sums.index_add_(0, states[known], weights[known])
