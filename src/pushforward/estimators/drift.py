"""Drift: changes of the distribution of each column between the table of a fit and another table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from scipy import stats

from pushforward.array_types import Array
from pushforward.estimators.columns.arrow_types import plain
from pushforward.estimators.columns.column import ModelledColumn, missing_cells
from pushforward.estimators.columns.plan import ColumnPlan
from pushforward.estimators.columns.standard import Finite, Strict
from pushforward.estimators.columns.tables import Table
from pushforward.estimators.encoded import EncodedRows
from pushforward.evaluation.fit_quality.resampling import count_of_independent, systematic

_LEVELS = np.linspace(0.0, 1.0, 101)
# Family-wise level of the tests of all columns.
_LEVEL = 0.01


class Marginal(Strict):
    """The distribution of one column: the number of rows in each state, and quantiles of the values in state 0.

    points: encoded values in ascending order; cdf: the fraction of the values that are at most each of them.
    """

    counts: tuple[Annotated[int, Field(ge=0)], ...]
    points: tuple[Finite, ...] = ()
    cdf: tuple[Finite, ...] = ()


class Marginals(Strict):
    """The distributions of the modelled columns of a table."""

    format: int = 1
    columns: tuple[Marginal, ...]

    @classmethod
    def of(cls, plan: ColumnPlan, rows: EncodedRows, weights: Array | None = None) -> Marginals:
        """Those of encoded rows; content that is unknown is left out. weights: ``(N,)``, by which rows are drawn."""
        rows, columns = _drawn(rows, weights), []
        for place, shape in enumerate(plan.shapes):
            states, values = rows.states[:, place].numpy(), rows.values[:, place].numpy()
            counts = tuple(np.bincount(states[states >= 0], minlength=shape.states).tolist())
            present = np.sort(values[(states == 0) & np.isfinite(values)]) if shape.value else np.empty(0)
            points = np.unique(np.quantile(present, _LEVELS)) if len(present) else present
            cdf = _cdf(present, points)
            columns.append(Marginal(counts=counts, points=tuple(points.tolist()), cdf=tuple(cdf.tolist())))
        return cls(columns=tuple(columns))


@dataclass(frozen=True)
class Drift:
    """The change of one column. size: the largest difference of its distribution functions, or of the fractions of sets
    of its states, from 0 to 1; p: of no change, for all columns together; before and after: its change in words.
    by_states: whether the states changed more than the values.
    """

    column: str
    size: float
    p: float
    before: str
    after: str
    by_states: bool = False

    @property
    def significant(self) -> bool:
        """Whether the change is larger than chance allows, at 1 % over all columns."""
        return self.p < _LEVEL


def compared_rows(plan: ColumnPlan, table: Table, weights: Array | None = None) -> EncodedRows:
    """The encoded rows of a table, with two more states of each column for content that no training row could have.

    The first is that of gaps, the second that of other content; `unseen_labels` names them. weights: ``(N,)``, by which
    rows are drawn.
    """
    rows = plan.encode(table, places=plan.middles, partial=True)
    states = rows.states.clone()
    for place, column in enumerate(plan.modelled):
        cells = plain(table.columns[column.name])
        unseen = ~column.encode(cells, np.full(table.rows, 0.5)).possible
        further = column.shape.states + ~missing_cells(cells)
        states[torch.from_numpy(unseen), place] = torch.from_numpy(further[unseen])
    return _drawn(replace(rows, states=states), weights)


def unseen_labels(column: ModelledColumn) -> tuple[str, str]:
    """Texts for gaps in a column without gaps in training, and for other content that no training row could have."""
    return "gaps", "new labels" if column.kind.words else "impossible values"


def drift(plan: ColumnPlan, fitted: Marginals, rows: EncodedRows, weights: Array | None = None) -> list[Drift]:
    """The changes of the columns from the table of the fit to ``rows``, the largest first.

    rows: those of `compared_rows`. weights: ``(N,)``, by which rows are drawn.
    """
    rows = _drawn(rows, weights)
    new = Marginals.of(plan, rows)
    changes = []
    for place, (known, found) in enumerate(zip(fitted.columns, new.columns, strict=True)):
        states = plan.shapes[place].states + len(unseen_labels(plan.modelled[place]))
        before, after = (_with_states(marginal, states) for marginal in (known, found))
        values = rows.values[:, place][(rows.states[:, place] == 0)].numpy()
        by_states, p_states = _states_change(before.counts, after.counts)
        by_values, p_values = _values_change(before, after, values[np.isfinite(values)])
        p = min(1.0, 2 * len(plan.names) * min(p_states, p_values))
        if by_values > by_states:
            old, now = (_median(plan, place, marginal) for marginal in (before, after))
        else:
            old, now = _fractions(plan, place, before.counts, after.counts)
        size = max(by_states, by_values)
        changes.append(Drift(plan.names[place], size, p, old, now, by_values <= by_states))
    return sorted(changes, key=lambda change: -change.size)


def _drawn(rows: EncodedRows, weights: Array | None) -> EncodedRows:
    """Rows of equal weight, as many as let tests keep their level."""
    if weights is None:
        return rows
    chosen = systematic(weights, count_of_independent(weights), np.random.default_rng(0))
    return rows.take(torch.from_numpy(chosen))


def _with_states(marginal: Marginal, states: int) -> Marginal:
    """A distribution with further states, in which it has no rows."""
    return marginal.model_copy(update={"counts": (*marginal.counts, *[0] * (states - len(marginal.counts)))})


def _cdf(values: Array, points: Array) -> Array:
    """The fraction of sorted values that are at most each point."""
    return np.searchsorted(values, points, side="right") / max(1, len(values))


def _states_change(before: Sequence[int], after: Sequence[int]) -> tuple[float, float]:
    """The total variation distance of the states, and the p-value of a chi-squared test."""
    table = np.asarray([before, after], dtype=np.float64)
    table = table[:, table.sum(0) > 0]
    if table.shape[1] < 2 or not (table.sum(1) > 0).all():
        return 0.0, 1.0
    fractions = table / table.sum(1, keepdims=True)
    return float(np.abs(fractions[0] - fractions[1]).sum() / 2), float(stats.chi2_contingency(table).pvalue)


def _values_change(before: Marginal, after: Marginal, values: Array) -> tuple[float, float]:
    """The largest difference of the distribution functions at the stored points, and its p-value."""
    if not before.points or not len(values):
        return 0.0, 1.0
    difference = float(np.abs(_cdf(np.sort(values), np.asarray(before.points)) - np.asarray(before.cdf)).max())
    n, m = before.counts[0], len(values)
    return difference, float(stats.kstwobign.sf(difference * np.sqrt(n * m / (n + m))))


def _median(plan: ColumnPlan, place: int, marginal: Marginal) -> str:
    at = int(np.searchsorted(np.asarray(marginal.cdf), 0.5))
    value = marginal.points[min(at, len(marginal.points) - 1)]
    cell = plan.modelled[place].decode(np.array([0]), np.array([value]))[0].as_py()
    return f"median {cell:.6g}" if isinstance(cell, float) else f"median {cell}"


def _fractions(plan: ColumnPlan, place: int, before: Sequence[int], after: Sequence[int]) -> list[str]:
    """The fractions of the state that changed most; the state of all other values says less than any."""
    fractions = np.asarray([before, after], dtype=np.float64)
    fractions = fractions / np.maximum(1, fractions.sum(1, keepdims=True))
    column = plan.modelled[place]
    first = int(column.kind.valued)
    state = first + int(np.abs(fractions[0] - fractions[1])[first:].argmax())
    name = (*column.state_labels, *unseen_labels(column))[state]
    return [f"{name} {fraction:.1%}" for fraction in fractions[:, state]]
