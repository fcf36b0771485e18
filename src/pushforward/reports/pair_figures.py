"""Charts of a pair of columns of a table and of samples, whatever the columns hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pushforward.array_types import Array
from pushforward.reports.column_figures import common_bounds, style_axis
from pushforward.reports.column_view import ColumnView
from pushforward.reports.figures import pair
from pushforward.reports.theme import DATA, INK, MODEL, panel, short, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LABELS = 8
_QUANTILES = (5, 25, 50, 75, 95)


def pair_chart(first: ColumnView, second: ColumnView) -> str:
    """Dots and contours of two columns of numbers, quantiles of numbers by label, or fractions of pairs of labels."""
    what = f"{first.name} and {second.name}: data and samples"
    if first.numbers is not None and second.numbers is not None:
        figure, [[ax]] = panel(3.4, 2.9)
        _numbers(ax, first, second)
    elif first.numbers is None and second.numbers is None:
        figure, [axes] = panel(3.4, 2.6, 1, 2)
        _labels(axes, first, second)
    else:
        label, number = (first, second) if first.numbers is None else (second, first)
        shown = _frequent(label)
        figure, [[ax]] = panel(3.4, 0.7 + 0.3 * len(shown))
        _by_label(ax, label, number, shown)
    return svg(figure, what)


def _numbers(ax: Axes, first: ColumnView, second: ColumnView) -> None:
    assert first.numbers is not None
    assert second.numbers is not None
    points = [np.stack(part, 1) for part in zip(first.numbers, second.numbers, strict=True)]
    data, samples = (part[np.isfinite(part).all(1)] for part in points)
    limits = common_bounds(data[:, 0], samples[:, 0], 0.5), common_bounds(data[:, 1], samples[:, 1], 0.5)
    pair(ax, data, samples, limits, dots=600)
    style_axis(ax, first.name, first.axis)
    style_axis(ax, second.name, second.axis, "y")


def _by_label(ax: Axes, label: ColumnView, number: ColumnView, shown: list[int]) -> None:
    """Lines from the 5 % to the 95 % quantile, thicker between the quartiles, with the median, for each label."""
    assert number.numbers is not None
    places = np.arange(len(shown))[::-1]
    for table, colour, offset in ((0, DATA, 0.16), (1, MODEL, -0.16)):
        for place, state in zip(places, shown, strict=True):
            values = number.numbers[table][label.states[table] == state]
            values = values[np.isfinite(values)]
            if len(values):
                low, quarter, middle, three, high = np.percentile(values, _QUANTILES)
                ax.plot([low, high], [place + offset] * 2, color=colour, linewidth=1.0)
                ax.barh(place + offset, three - quarter, left=quarter, height=0.2, color=colour, alpha=0.6)
                ax.plot([middle], [place + offset], color=INK, marker="|", markersize=5, linestyle="")
    ax.set_yticks(places, [short(label.labels[state], 14) for state in shown])
    ax.set(ylim=(-0.6, len(shown) - 0.4), ylabel=short(label.name, 18))
    style_axis(ax, number.name, number.axis)


def _labels(axes: list[Axes], first: ColumnView, second: ColumnView) -> None:
    """Squares whose areas are the fractions of the pairs of labels."""
    rows, columns = _frequent(first), _frequent(second)
    tables = [_joint(first.states[t], second.states[t], rows, columns) for t in (0, 1)]
    top = max(float(table.max()) for table in tables) or 1.0
    for ax, table, colour, title in zip(axes, tables, (DATA, MODEL), ("data", "samples"), strict=True):
        for (row, column), fraction in np.ndenumerate(table):
            half, y = 0.46 * np.sqrt(fraction / top), len(rows) - 1 - row
            x_ends, y_ends = np.array([-half, half, half, -half]), np.array([-half, -half, half, half])
            ax.fill(column + x_ends, y + y_ends, color=colour, alpha=0.75, linewidth=0)
        names = [short(second.labels[state], 9) for state in columns]
        ax.set_xticks(range(len(columns)), names, rotation=90)
        ax.set(xlim=(-0.6, len(columns) - 0.4), ylim=(-0.6, len(rows) - 0.4), xlabel=short(second.name, 16))
        ax.set_title(title, fontsize=8, color=INK)
    names = [short(first.labels[state], 10) for state in rows]
    axes[0].set_yticks(range(len(rows))[::-1], names)
    axes[1].set_yticks([])
    axes[0].set_ylabel(short(first.name, 16))


def _frequent(view: ColumnView) -> list[int]:
    """The states that are most frequent, in their order."""
    fractions = view.fractions.sum(0)
    order = np.argsort(-fractions, kind="stable")[:_LABELS]
    return sorted(int(state) for state in order if fractions[state] > 0)


def _joint(first: Array, second: Array, rows: list[int], columns: list[int]) -> Array:
    return np.array([[((first == a) & (second == b)).mean() for b in columns] for a in rows])
