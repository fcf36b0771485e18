"""Divisions of the rows of a table into training and validation rows, one for each net of an ensemble."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.estimators.encoded import EncodedRows

# With fewer rows nothing is held out: the mixture has one component, and the nets keep the columns' marginals.
FEW = 20
# Nets in an ensemble.
_MOST_NETS = 4
# One row in so many validates, but at least and at most so many rows.
_VALIDATION, _LEAST_VALIDATION, _MOST_VALIDATION = 10, 20, 20_000


@dataclass(frozen=True, eq=False)
class Split:
    """Training rows and validation rows with their weights."""

    rows: EncodedRows
    weights: Tensor
    validation: EncodedRows
    validation_weights: Tensor


class Folds:
    """Splits of rows into training and validation rows: the validation rows of different folds are different.

    Of few rows nothing is held out: they validate themselves.
    """

    def __init__(self, rows: EncodedRows, weights: Tensor, seed: int) -> None:
        self.rows, self.weights = rows, weights
        self.order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
        count = max(len(rows) // _VALIDATION, min(len(rows) // 3, _LEAST_VALIDATION))
        self.held_out = 0 if len(rows) < FEW else min(_MOST_VALIDATION, count)
        self.count = _MOST_NETS if self.held_out else 1

    def split(self, fold: int) -> Split:
        """The split whose validation rows are those of a fold."""
        start, end = fold * self.held_out, (fold + 1) * self.held_out
        train, validation = torch.cat([self.order[:start], self.order[end:]]), self.order[start:end]
        validation = validation if self.held_out else train
        rows, weights = self.rows, self.weights
        return Split(rows.take(train), weights[train], rows.take(validation), weights[validation])
