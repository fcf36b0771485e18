"""The base of the estimators: their parameters, the fit of a model to encoded rows, and random numbers."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from pushforward.array_types import Array
from pushforward.errors import ColumnWarning, OptionError, ReducedFitWarning
from pushforward.estimators.columns.plan import ColumnPlan
from pushforward.estimators.columns.tables import Table
from pushforward.estimators.drift import Marginals
from pushforward.estimators.fit_record import FitRecord
from pushforward.estimators.models.fit_table import Progress, fit_table
from pushforward.estimators.models.table_model import TableModel
from pushforward.estimators.quality import quality_of
from pushforward.estimators.training_rows import TrainingRows, checked_weights, training_rows
from pushforward.evaluation.fit_quality import FitQuality
from pushforward.evaluation.verdict import Verdict

# Tables of fewer different rows are fitted by a number of steps, which any machine repeats; larger ones by the clock.
_REPEATABLE_ROWS, _REPEATABLE_STEPS = 1_000, 400
# Rows of which some are held out by default, and how many at most.
_ENOUGH_TO_HOLD_OUT, _MOST_JUDGES = 10_000, 2_000


class TableEstimator(BaseEstimator):  # type: ignore[misc]
    """Parameters that all estimators share, and the fit of their model.

    max_seconds: the time limit of the fit; by default it follows the size of the table. max_steps: the limit of the
    steps of each net and flow. A fit limited by steps alone is the same on every run; tables of fewer than 1,000
    different rows are fitted so unless ``max_seconds`` is given. kinds: the kinds of columns by name, where the guess
    is wrong, such as ``{"angle": "period:0:360", "income": "positive"}``. held_out: the fraction of the rows that take
    no part in the fit, for ``quality_`` and ``verdict_``; by default a tenth, at most 2,000, of 10,000 rows or more.
    random_state: the seed of the fit and of draws. verbose: 1 tells the progress and the verdict.
    """

    quality_: FitQuality
    _record: FitRecord

    def __init__(
        self,
        *,
        max_seconds: float | None = None,
        max_steps: int | None = None,
        kinds: Mapping[str, str] | None = None,
        held_out: float | None = None,
        random_state: Any = 0,
        verbose: int = 0,
    ) -> None:
        self.held_out = held_out
        self.max_seconds = max_seconds
        self.max_steps = max_steps
        self.kinds = kinds
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _fit_model(
        self,
        plans: Sequence[tuple[ColumnPlan, Table]],
        weights: Array | None,
        targets: Sequence[int] | None = None,
        architectures: Sequence[str] = (),
        progress: Callable[[Progress], None] | None = None,
        note: str = "",
    ) -> TableModel:
        """The model of the columns of all plans, or of ``targets`` given the others. note: on rows that are left out.

        The note is a warning, and one of the model's.
        """
        every = training_rows(plans, weights, self._seed(self.random_state))
        model = self._fit_rows([plan for plan, _ in plans], every, targets, architectures, progress)
        if note:
            model.notes.append(note)
            warnings.warn(note, ReducedFitWarning, stacklevel=4)
        return model

    def _fit_rows(
        self,
        plans: Sequence[ColumnPlan],
        every: TrainingRows,
        targets: Sequence[int] | None,
        architectures: Sequence[str],
        progress: Callable[[Progress], None] | None = None,
        start: TableModel | None = None,
    ) -> TableModel:
        """The model of encoded rows, whose nets go on from those of ``start``."""
        self._check_limits()
        seed = self._seed(self.random_state)
        held_out, rows = every.split(self._held_out_rows(len(every.rows)), seed)
        steps = self.max_steps
        if steps is None and self.max_seconds is None and rows.distinct < _REPEATABLE_ROWS:
            steps = _REPEATABLE_STEPS
        model = fit_table(
            rows.rows,
            [shape for plan in plans for shape in plan.shapes],
            weights=rows.weights,
            targets=targets,
            seconds=self.max_seconds,
            steps=steps,
            architectures=tuple(architectures),
            start=start,
            seed=seed,
            tell=progress or (_tell if self.verbose else _say_nothing),
        )
        if "quality_" in vars(self):
            del self.quality_
        self._record = FitRecord.of(plans, rows, held_out, seed)
        if len(held_out.rows):
            names = [name for plan in plans for name in plan.names]
            self.quality_ = quality_of(model, rows, held_out, names, seed)
            if self.verbose:
                print(self.verdict_, file=sys.stderr)
        return model

    def _check_limits(self) -> None:
        steps, seconds = self.max_steps, self.max_seconds
        if steps is not None and not (isinstance(steps, Integral) and steps >= 1):
            raise OptionError(f"max_steps: a whole number of 1 or above expected, got {steps}")
        if seconds is not None and not (isinstance(seconds, Real) and seconds > 0):
            raise OptionError(f"max_seconds: a number of seconds above 0 expected, got {seconds!r}")

    @property
    def verdict_(self) -> Verdict:
        """The verdict on the fit, from rows that took no part in it."""
        if "quality_" not in vars(self):
            raise AttributeError(
                "no verdict: no rows were held out of the fit, or an old version saved it; set held_out=0.1"
            )
        return self.quality_.verdict

    def _held_out_rows(self, rows: int) -> int:
        if self.held_out is None:
            return min(_MOST_JUDGES, rows // 10) if rows >= _ENOUGH_TO_HOLD_OUT else 0
        if not 0 <= self.held_out < 1:
            raise OptionError(f"held_out: a fraction of the rows from 0 to below 1 expected, got {self.held_out}")
        return int(self.held_out * rows)

    def _generator(self, random_state: Any) -> torch.Generator:
        """The generator of draws: seeded by ``random_state``, or by that of the estimator where it is None."""
        return torch.Generator().manual_seed(self._seed(self.random_state if random_state is None else random_state))

    @staticmethod
    def _seed(random_state: Any) -> int:
        return int(check_random_state(random_state).randint(2**31 - 1))


class JointEstimator(TableEstimator):
    """Parameters of the estimators of the joint density of all columns, and those of `TableEstimator`.

    architectures: of the flows that are fitted beside the mixture and the net.
    """

    def __init__(
        self,
        *,
        max_seconds: float | None = None,
        max_steps: int | None = None,
        kinds: Mapping[str, str] | None = None,
        architectures: Sequence[str] = ("nsf_ar",),
        held_out: float | None = None,
        random_state: Any = 0,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            max_seconds=max_seconds,
            max_steps=max_steps,
            kinds=kinds,
            held_out=held_out,
            random_state=random_state,
            verbose=verbose,
        )
        self.architectures = architectures


def table_weights(plan: ColumnPlan, table: Table, sample_weight: Any = None) -> Array | None:
    """The weights of the rows of a table: those given, times those in its column of weights; None without either."""
    column = plan.weights(table, partial=True)
    weights = None if column is None else np.asarray(column.numpy())
    if sample_weight is None:
        return weights
    given = checked_weights(sample_weight, table.rows)
    return given if weights is None else given * weights


def hold_out(estimator: TableEstimator, plans: Sequence[tuple[ColumnPlan, Table]], seed: int) -> None:
    """Keep rows of tables that took no part in a fit for its report. plans: those of the fit, with their tables."""
    weights = table_weights(*plans[0])
    estimator._record = replace(estimator._record, held_out=training_rows(plans, weights, seed))


def record_marginals(estimator: TableEstimator, marginals: Sequence[Marginals]) -> None:
    """Give an estimator the distributions of its training columns, which an old version stored beside the model."""
    estimator._record = replace(estimator._record, marginals=tuple(marginals))


def warn_of(*plans: ColumnPlan) -> None:
    """Warn of columns with content that may be a mistake."""
    for remark in (remark for plan in plans for remark in plan.remarks):
        warnings.warn(remark, ColumnWarning, stacklevel=3)


def _say_nothing(progress: Progress) -> None:
    pass


def _tell(progress: Progress) -> None:
    print(f"{progress.fraction:4.0%} {progress.stage}", file=sys.stderr)
