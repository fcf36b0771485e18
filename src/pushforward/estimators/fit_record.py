"""The record of a fit: the distributions of its columns, and rows of it that stay in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from pushforward.estimators.columns.plan import ColumnPlan
from pushforward.estimators.drift import Marginals
from pushforward.estimators.encoded import EncodedRows
from pushforward.estimators.training_rows import TrainingRows

# Training rows that stay in memory, and those that show the distributions of the columns.
_KEPT, _MEASURED = 10_000, 20_000


@dataclass(frozen=True, eq=False)
class FitRecord:
    """What a report needs of a fit.

    marginals: of the columns of each plan. train: training rows, at most 10,000; held_out: rows that took no part. Both
    are None for a loaded model.
    """

    marginals: tuple[Marginals, ...] = ()
    train: TrainingRows | None = field(default=None, repr=False)
    held_out: TrainingRows | None = field(default=None, repr=False)

    @classmethod
    def of(cls, plans: Sequence[ColumnPlan], train: TrainingRows, held_out: TrainingRows, seed: int) -> FitRecord:
        """The record of encoded rows, whose columns are those of the plans."""
        kept = train if len(train.rows) <= _KEPT else train.split(_KEPT, seed)[0]
        some = train if len(train.rows) <= _MEASURED else train.split(_MEASURED, seed)[0]
        some = some.unmerged(seed)
        weights = np.asarray(some.weights.numpy())
        even = None if (weights == weights[0]).all() else weights
        marginals, start = [], 0
        for plan in plans:
            columns = some.rows.columns(range(start, start + len(plan.names)))
            start += len(plan.names)
            marginals.append(Marginals.of(plan, in_middles(plan, columns), even))
        return cls(tuple(marginals), kept, held_out if len(held_out.rows) else None)


def in_middles(plan: ColumnPlan, rows: EncodedRows) -> EncodedRows:
    """The rows with dequantised values in the middle of their cells, in which tables are compared."""
    if not plan.dequantised:
        return rows
    return plan.encode(plan.decode(rows, library="pyarrow"), places=plan.middles, partial=True)
