"""A finite mixture of Gaussians times probability tables, and steps of expectation-maximisation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pushforward.mixtures.gaussians import Block, Gaussians
from pushforward.mixtures.rows import MixtureRows
from pushforward.mixtures.tables import Tables


@dataclass(frozen=True)
class Strengths:
    """The number of rows that what all rows have in common counts for, in covariances and in tables."""

    covariance: float = 1.0
    table: float = 1.0


@dataclass(frozen=True, eq=False)
class Expectation:
    """Sums over rows of the statistics that the next mixture maximises, and their log-likelihood.

    log_likelihood: the weighted sum of the log-densities of the rows.
    """

    gaussians: Any
    tables: list[Tensor]
    log_likelihood: float


@dataclass(frozen=True, eq=False)
class Mixture:
    """K components of weights ``(K,)``, each a Gaussian over the values times a table for each discrete column."""

    weights: Tensor
    gaussians: Gaussians
    tables: Tables

    def __len__(self) -> int:
        return len(self.weights)

    def blocks(self, rows: MixtureRows) -> Iterator[tuple[Block, Tensor]]:
        """Blocks of rows, with the log-density ``(n, K)`` of each row and each component together."""
        prior = self.weights.log()
        for block in self.gaussians.blocks(rows.values, rows.present):
            logs = block.log_densities() + prior
            if self.tables.columns:
                logs += self.tables.log_probabilities(rows.states[block.rows], len(self))
            yield block, logs

    def log_prob(self, rows: MixtureRows) -> Tensor:
        """``(N,)``: log-probability of the known states plus log-density of the values that are present."""
        total = torch.zeros(len(rows), dtype=torch.float64)
        for block, logs in self.blocks(rows):
            total[block.rows] = logs.logsumexp(1)
        return total

    def posterior(self, rows: MixtureRows) -> Tensor:
        """``(N, K)``: the probability of each component given a row."""
        total = torch.zeros(len(rows), len(self), dtype=torch.float64)
        for block, logs in self.blocks(rows):
            total[block.rows] = logs.softmax(1)
        return total

    def log_states(self, states: Tensor) -> Tensor:
        """``(N,)``: log-probability of the known states alone."""
        return (self.tables.log_probabilities(states, len(self)) + self.weights.log()).logsumexp(1)

    def expectation(self, rows: MixtureRows) -> Expectation:
        """The statistics of rows under the posterior of their components."""
        gaussians, tables, total = self.gaussians.no_statistics(), self.tables.no_counts(), 0.0
        for block, logs in self.blocks(rows):
            weights, log_densities = rows.weights[block.rows], logs.logsumexp(1)
            total += float(weights @ log_densities)
            responsibilities = logs.sub_(log_densities[:, None]).exp_().mul_(weights[:, None])
            block.add(responsibilities, gaussians)
            self.tables.add(rows.states[block.rows], responsibilities, tables)
        return Expectation(gaussians, tables, total)

    def maximised(self, statistics: Expectation, strengths: Strengths) -> Mixture:
        """The mixture of greatest expected log-likelihood under the statistics and the strengths."""
        counts = statistics.gaussians.counts.clamp_min(1e-12)
        gaussians = self.gaussians.updated(statistics.gaussians, strengths.covariance)
        return Mixture(counts / counts.sum(), gaussians, self.tables.updated(statistics.tables, strengths.table))

    def split(self, count: int, generator: torch.Generator) -> Mixture:
        """A mixture of ``count`` components, at most twice as many, in which the largest are two halves."""
        order = self.weights.argsort(descending=True)
        halved, whole = order[: count - len(self)], order[count - len(self) :]
        gaussians = self.gaussians.chosen(halved).split(generator)
        tables = self.tables.chosen(halved).split(generator)
        parts = [Mixture(self.weights[halved] / 2, *half) for half in zip(gaussians, tables, strict=True)]
        parts.append(Mixture(self.weights[whole], self.gaussians.chosen(whole), self.tables.chosen(whole)))
        return _joined(parts)

    def draw(self, rows: MixtureRows, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """States and values with the unknown ones drawn given the others; every value is drawn, whatever its state."""
        component = torch.multinomial(self.posterior(rows), 1, generator=generator)[:, 0]
        states = self.tables.draw(component, rows.states, generator)
        return states, self.gaussians.draw(component, rows.values, rows.present, generator)


def _joined(parts: list[Mixture]) -> Mixture:
    gaussians = parts[0].gaussians.joined([part.gaussians for part in parts[1:]])
    columns = tuple(torch.cat(tables, 1) for tables in zip(*(part.tables.columns for part in parts), strict=True))
    tables = Tables(columns, parts[0].tables.common)
    return Mixture(torch.cat([part.weights for part in parts]), gaussians, tables)
