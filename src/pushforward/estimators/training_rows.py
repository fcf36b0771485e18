"""Rows for a fit: equal rows merged, in an order that depends on their content alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from pushforward.array_types import Array
from pushforward.errors import DataError, ShapeError
from pushforward.estimators.columns.plan import ColumnPlan
from pushforward.estimators.columns.tables import Table, taken
from pushforward.estimators.encoded import EncodedRows, distinct_rows, joined
from pushforward.evaluation.fit_quality.resampling import systematic

# Rows without a value that is exact are repeated, at most this often over all rows, so that each gets noise of its own
# and validation sees the common ones too.
_REPEATED = 50_000
# Rows that a plan is guessed from where weights are numbers of repetitions.
_COUNTED = 2_000_000
# The relative error of a sum of weights.
_ROUNDING = 1e-9
# Held-out rows that are judged as often as the table had them.
_UNMERGED = 20_000


@dataclass(frozen=True, eq=False)
class TrainingRows:
    """Rows with their weights, the number of different ones, and the number of table rows ``(N,)`` that each is."""

    rows: EncodedRows
    weights: Tensor
    distinct: int
    repeats: Tensor

    def and_more(self, others: TrainingRows, most: int, seed: int) -> TrainingRows:
        """These rows and others; of more than ``most``, a random part, with the weights of all."""
        rows, weights = joined([self.rows, others.rows]), torch.cat([self.weights, others.weights])
        repeats = torch.cat([self.repeats, others.repeats])
        both = TrainingRows(rows, weights, self.distinct + others.distinct, repeats)
        if len(rows) <= most:
            return both
        part, _ = both.split(most, seed)
        return replace(part, weights=part.weights * (weights.sum() / part.weights.sum()))

    def split(self, count: int, seed: int) -> tuple[TrainingRows, TrainingRows]:
        """``count`` random rows, and the others."""
        order = torch.randperm(len(self.rows), generator=torch.Generator().manual_seed(seed))
        return self._take(order[:count].sort().values), self._take(order[count:].sort().values)

    def unmerged(self, seed: int) -> TrainingRows:
        """As many rows as the table had, at most ``_UNMERGED`` or those that are here; a random part of more."""
        repeats = self.repeats.numpy()
        count = min(round(float(repeats.sum())), max(_UNMERGED, len(repeats)))
        places = torch.from_numpy(systematic(repeats, count, np.random.default_rng(seed)))
        part = self._take(places)
        return replace(part, weights=part.weights / part.repeats, repeats=torch.ones_like(part.repeats))

    def _take(self, places: Tensor) -> TrainingRows:
        distinct = min(self.distinct, len(places))
        return TrainingRows(self.rows.take(places), self.weights[places], distinct, self.repeats[places])


def training_rows(plans: Sequence[tuple[ColumnPlan, Table]], weights: Array | None, seed: int) -> TrainingRows:
    """The encoded rows of tables with as many rows each, side by side.

    Equal rows become one, their weights added, and rows of weight 0 are dropped: repeating a row and giving it the
    weight 2 are the same. The order, and so the noise of integers and the choice of validation rows, is that of the
    content.
    """
    if weights is not None:
        used = np.flatnonzero(weights > 0)
        if not len(used):
            raise DataError("every row has the weight 0; at least one row above 0 is needed")
        if len(used) == 1:
            raise DataError("1 row has a weight above 0, which shows no distribution; more rows are needed")
        plans, weights = [(plan, taken(table, used)) for plan, table in plans], _scaled(weights[used])
    parts = [plan.encode(table, places=plan.middles) for plan, table in plans]
    _refuse_impossible(plans, parts)
    content = np.concatenate([np.concatenate([p.states.numpy().astype(float), p.values.numpy()], 1) for p in parts], 1)
    first, inverse = distinct_rows(content)
    sums = np.bincount(inverse, weights, minlength=len(first)).astype(np.float64)
    copies = _copies([plan for plan, _ in plans], parts, first, sums)
    chosen = np.repeat(first, copies)
    generator = torch.Generator().manual_seed(seed)
    drawn = [plan.encode(taken(table, chosen), generator=generator) for plan, table in plans]
    weight, repeats = (torch.from_numpy(np.repeat(x / copies, copies)) for x in (sums, np.bincount(inverse)))
    return TrainingRows(beside(drawn), weight, len(first), repeats)


def beside(parts: Sequence[EncodedRows]) -> EncodedRows:
    """The columns of all ``parts``, side by side; a row is impossible if one of its parts is."""
    states, values, log_slopes = (
        torch.cat([getattr(part, name) for part in parts], 1) for name in ("states", "values", "log_slopes")
    )
    return EncodedRows(states, values, log_slopes, torch.stack([part.impossible for part in parts]).any(0))


def checked_weights(weights: Array, rows: int) -> Array:
    """Weights ``(N,)`` as float64. Raises ShapeError or DataError for others than numbers of 0 or above."""
    array = np.asarray(weights, dtype=np.float64)
    if array.shape != (rows,):
        raise ShapeError(f"sample_weight: one weight for each of the {rows} rows expected, got shape {array.shape}")
    wrong = np.flatnonzero(~(np.isfinite(array) & (array >= 0)))
    if len(wrong):
        raise DataError(f"sample_weight: a weight of 0 or above expected, got {array[wrong[0]]} in row {wrong[0]}")
    if not array.any():
        raise DataError("sample_weight: every weight is zero; at least one row above zero is needed")
    return array


def counted(table: Table, weights: Array | None) -> Table:
    """The rows of a table as often as they count, if weights are whole; else those of positive weight."""
    if weights is None:
        return table
    whole = bool((weights == np.floor(weights)).all()) and weights.sum() <= _COUNTED
    places = np.repeat(np.arange(table.rows), weights.astype(int)) if whole else np.flatnonzero(weights > 0)
    return taken(table, places)


def _scaled(weights: Array) -> Array:
    """Positive weights ``(N,)``; those with a sum below N scaled to the effective number of rows (Kish, 1965).

    Such weights, as 1 / N, are no numbers of rows, beside which a prior counts. Whole ones never have such a sum.
    """
    if weights.sum() >= (1 - _ROUNDING) * len(weights):
        return weights
    weights = weights / weights.max()  # whose squares do not underflow
    return np.asarray(weights * (weights.sum() / (weights**2).sum()))


def _copies(plans: Sequence[ColumnPlan], parts: Sequence[EncodedRows], chosen: Array, weights: Array) -> Array:
    """How often each distinct row is repeated: once if it has an exact value, else about as often as it counts."""
    exact = np.zeros(len(chosen), dtype=bool)
    for plan, part in zip(plans, parts, strict=True):
        noisy = torch.tensor([column.kind.noisy for column in plan.modelled], dtype=torch.bool)
        exact |= (part.present(plan.shapes) & ~noisy).any(1).numpy()[chosen]
    total = weights[~exact].sum()
    fraction = min(1.0, _REPEATED / total) if total > 0 else 1.0
    return np.where(exact, 1, np.maximum(1, np.ceil(weights * fraction - _ROUNDING))).astype(np.int64)


def _refuse_impossible(plans: Sequence[tuple[ColumnPlan, Table]], parts: Sequence[EncodedRows]) -> None:
    for (plan, table), part in zip(plans, parts, strict=True):
        if part.impossible.any():
            problem = plan.problems(table, limit=1)[0]
            raise DataError(f"a row of the training data cannot be: {problem.sentence}")
