"""Weighted rows of states and values, some of them absent, as mixtures take them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pushforward.array_types import Array


@dataclass(frozen=True, eq=False)
class MixtureRows:
    """N rows of S discrete columns and D real columns.

    states: ``(N, S)`` int64, -1 where unknown. values: ``(N, D)`` float64, 0 where ``present: (N, D)`` is false.
    weights: ``(N,)`` float64, the number of times that each row counts.
    """

    states: Tensor
    values: Tensor
    present: Tensor
    weights: Tensor

    @classmethod
    def of(cls, states: Tensor, values: Tensor, present: Tensor, weights: Tensor | None = None) -> MixtureRows:
        """Rows whose absent values are put to 0, of weight 1 unless ``weights`` are given."""
        weights = torch.ones(len(values), dtype=torch.float64) if weights is None else weights.double()
        return cls(states, torch.where(present, values.double(), 0.0), present, weights)

    @classmethod
    def complete(cls, values: Tensor, weights: Tensor | None = None) -> MixtureRows:
        """Rows of real columns without gaps."""
        states = torch.zeros(len(values), 0, dtype=torch.int64)
        return cls.of(states, values, torch.ones(values.shape, dtype=torch.bool), weights)

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: Tensor) -> MixtureRows:
        """The rows numbered ``rows``, or those for which a mask is true."""
        return MixtureRows(self.states[rows], self.values[rows], self.present[rows], self.weights[rows])

    def only(self, columns: Tensor) -> MixtureRows:
        """The same rows, of whose values only those of ``columns: (D,)`` bool are present."""
        return MixtureRows.of(self.states, self.values, self.present & columns, self.weights)

    @property
    def total(self) -> float:
        """The sum of the weights."""
        return float(self.weights.sum())

    def mean(self, log_densities: Tensor) -> float:
        """The weighted mean of a number ``(N,)`` of each row."""
        return float((self.weights * log_densities).sum() / self.weights.sum())


def patterns(present: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """The distinct rows of ``present: (N, D)``: the columns that are present, and the rows in which just they are."""
    if len(present) == 0:
        return
    if bool(present.all()):
        yield torch.arange(present.shape[1]), torch.arange(len(present))
        return
    first, inverse, counts = _distinct(present)
    order = torch.from_numpy(np.argsort(inverse, kind="stable"))
    for row, rows in zip(first.tolist(), torch.split(order, counts.tolist()), strict=True):
        yield present[row].nonzero()[:, 0], rows


def count_patterns(present: Tensor) -> int:
    """The number of distinct rows of ``present: (N, D)``."""
    return 1 if len(present) == 0 or bool(present.all()) else len(_distinct(present)[0])


def _distinct(present: Tensor) -> tuple[Array, Array, Array]:
    """First row, number of each row's pattern, and count of rows, of the distinct rows of ``(N, D)`` bool."""
    packed = np.ascontiguousarray(np.packbits(present.numpy(), axis=1))
    as_scalars = packed.view(f"V{packed.shape[1]}")[:, 0]
    _, first, inverse, counts = np.unique(as_scalars, return_index=True, return_inverse=True, return_counts=True)
    return first, inverse, counts
