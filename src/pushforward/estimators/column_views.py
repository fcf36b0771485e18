"""Encoded columns as charts take them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pushforward.estimators.columns.column import ModelledColumn
from pushforward.estimators.columns.plan import ColumnPlan
from pushforward.estimators.drift import Marginal, unseen_labels
from pushforward.estimators.encoded import EncodedRows
from pushforward.reports.column_view import ColumnView


def column_views(
    plans: Sequence[ColumnPlan], columns: Sequence[int], first: EncodedRows, second: EncodedRows
) -> list[ColumnView]:
    """The views of some columns of two tables of encoded rows; the columns are those of all plans in turn."""
    modelled = [column for plan in plans for column in plan.modelled]
    return [_view(modelled[place], place, first, second) for place in columns]


def _view(column: ModelledColumn, place: int, first: EncodedRows, second: EncodedRows) -> ColumnView:
    states = first.states[:, place].numpy(), second.states[:, place].numpy()
    numbers = None
    if column.kind.valued:
        values = first.values[:, place].numpy(), second.values[:, place].numpy()
        numbers = column.on_axis(states[0], values[0]), column.on_axis(states[1], values[1])
    return ColumnView(column.name, states, column.state_labels, numbers, column.kind.axis)


def marginal_view(column: ModelledColumn, marginal: Marginal, rows: EncodedRows, place: int) -> ColumnView:
    """The view of a column of which the first table is known by its distribution: a row for each count and quantile."""
    counts = np.asarray(marginal.counts)
    view = _view(column, place, rows, rows)
    names = (*view.labels, *unseen_labels(column))
    places = [place for place in range(len(names)) if place < len(view.labels) or (view.states[1] == place).any()]
    labels = tuple(names[place] for place in places)
    found = np.where(view.states[1] < 0, view.states[1], np.searchsorted(places, view.states[1]))
    # So many rows show the fractions to a hundredth of a per cent.
    shown = np.rint(counts * min(1.0, 10_000 / max(1, counts.sum()))).astype(int)
    states = np.repeat(np.arange(len(counts)), shown)
    numbers = None
    if view.numbers is not None:
        points = np.asarray(marginal.points)
        numbers = column.on_axis(np.zeros(len(points), dtype=int), points), view.numbers[1]
    return ColumnView(view.name, (states, found), labels, numbers, view.axis)
