"""Divisions of the rows of a table: training and validation rows of each net of an ensemble, and rows for all nets."""

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
# From so many rows on, half of the validation rows, at most so many, recalibrate predictions instead.
_RECALIBRATED, _MOST_RECALIBRATING = 5_000, 2_000


@dataclass(frozen=True, eq=False)
class Split:
    """Training rows and validation rows with their weights."""

    rows: EncodedRows
    weights: Tensor
    validation: EncodedRows
    validation_weights: Tensor


class Folds:
    """Splits of rows into training and validation rows: the validation rows of different folds are different.

    Of few rows nothing is held out: they validate themselves. conditional: whether the model predicts some columns from
    others; of many rows, some are outside every split then, to recalibrate the predictions.
    """

    def __init__(self, rows: EncodedRows, weights: Tensor, seed: int, *, conditional: bool = False) -> None:
        self.rows, self.weights = rows, weights
        self.order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
        count = max(len(rows) // _VALIDATION, min(len(rows) // 3, _LEAST_VALIDATION))
        count = 0 if len(rows) < FEW else min(_MOST_VALIDATION, count)
        apart = min(_MOST_RECALIBRATING, count // 2) if conditional and len(rows) >= _RECALIBRATED else 0
        self.order, self._apart = self.order[apart:], self.order[:apart]
        self.held_out = count - apart
        self.count = _MOST_NETS if self.held_out else 1

    def split(self, fold: int) -> Split:
        """The split whose validation rows are those of a fold."""
        start, end = fold * self.held_out, (fold + 1) * self.held_out
        train, validation = torch.cat([self.order[:start], self.order[end:]]), self.order[start:end]
        validation = validation if self.held_out else train
        rows, weights = self.rows, self.weights
        return Split(rows.take(train), weights[train], rows.take(validation), weights[validation])

    @property
    def recalibrating(self) -> tuple[EncodedRows, Tensor]:
        """The rows outside every split and their weights; none of few rows, or for a model of all columns."""
        return self.rows.take(self._apart), self.weights[self._apart]
