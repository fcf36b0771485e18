"""Charts of one column of two tables: histograms, bars, distribution functions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np

from pushforward.array_types import Array
from pushforward.reports.column_view import Axis, ColumnView, finite
from pushforward.reports.theme import DATA, FAINT, INK, MODEL, panel, short, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_Two = tuple[str, str]

_WIDTH, _HEIGHT = 3.4, 2.1
_DISTINCT, _BARS = 30, 10
# Days since 1970 that matplotlib can write as dates.
_DATES = (-719_000.0, 2_930_000.0)
# The ratio of an extreme quantile to the median from which on an axis is logarithmic.
_SKEWED = 30.0


def histogram(view: ColumnView, names: _Two = ("data", "samples"), colours: _Two = (DATA, MODEL)) -> str:
    """Histograms of the numbers of both tables, over `common_bounds`."""
    assert view.numbers is not None
    figure, [[ax]] = panel(_WIDTH, _HEIGHT)
    first, second = (finite(part) for part in view.numbers)
    edges, logarithmic = _edges(first, second)
    for values, colour, fill in ((first, colours[0], True), (second, colours[1], False)):
        heights = np.histogram(values, edges)[0] / max(1, len(values))
        heights = heights if _regular(edges, logarithmic) else heights / np.diff(edges)
        if fill:
            ax.stairs(heights, edges, color=colour, fill=True, alpha=0.45, linewidth=0)
        else:
            ax.stairs(heights, edges, color=colour, linewidth=1.3)
    if logarithmic:
        ax.set_xscale("log")
    ax.set(xlim=(edges[0], edges[-1]), yticks=[])
    ax.spines["left"].set_visible(False)
    style_axis(ax, view.name, view.axis, of="other values" if len(view.labels) > 1 else "")
    return svg(figure, f"Histograms of {view.name}: {names[0]} and {names[1]}")


def bars(view: ColumnView, names: _Two = ("data", "samples"), colours: _Two = (DATA, MODEL)) -> str:
    """The fractions of both tables in each state; of many states, those that are frequent or differ most."""
    labels, fractions = _frequent(view.labels, view.fractions)
    figure, [[ax]] = panel(_WIDTH, 0.6 + 0.27 * len(labels))
    places = np.arange(len(labels))[::-1]
    for table, offset in ((0, 0.19), (1, -0.19)):
        ax.barh(places + offset, 100 * fractions[table], height=0.36, color=colours[table], alpha=0.75)
    ax.set_yticks(places, [short(label, 20) for label in labels])
    ax.set(xlabel="% of rows", ylim=(-0.6, len(labels) - 0.4))
    ax.locator_params(axis="x", nbins=5)
    return svg(figure, f"Shares of {view.name}: {names[0]} and {names[1]}")


def distribution_functions(view: ColumnView, points: Array, cdf: Array, names: _Two, colours: _Two) -> str:
    """The distribution function ``cdf`` at ``points`` of one table, and that of the second table of the view."""
    assert view.numbers is not None
    figure, [[ax]] = panel(_WIDTH, _HEIGHT)
    ordered = np.sort(finite(view.numbers[1]))
    shown = np.unique(np.linspace(0, max(0, len(ordered) - 1), 300).astype(int))
    ax.plot(points, 100 * cdf, color=colours[0], linewidth=1.6)
    if len(ordered):
        ax.plot(ordered[shown], 100 * (shown + 1) / len(ordered), color=colours[1], linewidth=1.4)
    low, high = points[min(1, len(points) - 1)], points[max(0, len(points) - 2)]
    if len(ordered):
        low, high = min(low, np.quantile(ordered, 0.01)), max(high, np.quantile(ordered, 0.99))
    if low > 0 and high > _SKEWED**2 * low:
        ax.set_xscale("log")
    ax.set(xlim=(low, high) if high > low else None, ylim=(0, 102), ylabel="% of values at most")
    style_axis(ax, view.name, view.axis)
    return svg(figure, f"Distribution functions of {view.name}: {names[0]} and {names[1]}")


def pit_curve(pit: Array, band: float, name: str) -> str:
    """The distribution function of probability integral transforms ``(N,)`` minus that of uniform ones.

    band: the half-width that holds the curves of all columns at once.
    """
    figure, [[ax]] = panel(_WIDTH, 1.7)
    ordered = np.sort(pit)
    count = len(ordered)
    curve = 100 * (np.arange(1, count + 1) / max(1, count) - ordered)
    shown = np.unique(np.linspace(0, max(0, count - 1), 400).astype(int))
    ax.axhspan(-100 * band, 100 * band, color=FAINT, alpha=0.5, linewidth=0)
    ax.axhline(0, color=INK, linewidth=0.8, linestyle="--")
    points, heights = (np.concatenate([[0], part[shown], [end]]) for part, end in ((ordered, 1), (curve, 0)))
    ax.plot(points, heights, color=MODEL, linewidth=1.2)
    reach = 1.15 * max(1.4 * 100 * band, float(np.abs(curve).max(initial=0)))
    ax.set(xlim=(0, 1), ylim=(-reach, reach), xlabel=f"PIT of {short(name)}", ylabel="excess, %")
    ax.locator_params(axis="y", nbins=5)
    return svg(figure, f"PIT of {name} against a uniform distribution")


def style_axis(ax: Axes, name: str, axis: Axis, direction: Literal["x", "y"] = "x", of: str = "") -> None:
    """Label an axis with the name of its column; dates are written as dates. of: which values it shows, if not all."""
    own = ax.xaxis if direction == "x" else ax.yaxis
    label = short(name, 30 if direction == "x" else 18) + (", hours" if axis == "hour" else "")
    label += f" ({of})" if of else ""
    own.set_label_text(label)
    low, high = own.get_view_interval()
    if axis == "date" and _DATES[0] < low and high < _DATES[1]:
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

        locator = AutoDateLocator(minticks=3, maxticks=7)  # type: ignore[no-untyped-call]
        own.set_major_locator(locator)
        own.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    elif own.get_scale() == "linear":
        ax.locator_params(axis=direction, nbins=5)
        ax.ticklabel_format(axis=direction, useOffset=False, scilimits=(-4, 6))


def bounds(values: Array, tail: float = 0.1) -> tuple[float, float]:
    """The limits of an axis: finite ``values`` without ``tail`` per cent at each end, slightly widened."""
    some = finite(values)
    if not len(some):
        return 0.0, 1.0
    low, high = np.percentile(some, (tail, 100 - tail))
    margin = 0.06 * (high - low) or max(0.5, 0.05 * abs(float(low)))
    return float(low - margin), float(high + margin)


def common_bounds(first: Array, second: Array, tail: float = 0.1) -> tuple[float, float]:
    """The limits of an axis for two tables: `bounds` of the first, and the middle 98 % of the second.

    The second are samples, of which a few in a heavy tail must not flatten the chart.
    """
    parts = [bounds(part, cut) for part, cut in ((first, tail), (second, 1.0)) if len(finite(part))]
    return min((low for low, _ in parts), default=0.0), max((high for _, high in parts), default=1.0)


def _edges(first: Array, second: Array) -> tuple[Array, bool]:
    """The edges of the bins of histograms of finite values, and whether their axis is logarithmic."""
    values = first if len(first) else second
    distinct = np.unique(np.concatenate([first[:20_000], second[:20_000]]))
    if 1 < len(distinct) <= _DISTINCT:
        middle = (distinct[1:] + distinct[:-1]) / 2
        ends = 1.5 * distinct[[0, -1]] - 0.5 * distinct[[1, -2]]
        return np.concatenate([ends[:1], middle, ends[1:]]), False
    low, high = common_bounds(first, second)
    count = int(np.clip(math.sqrt(len(values)), 8, 40))
    if len(distinct) and distinct[0] > 0 and np.quantile(values, 0.999) > _SKEWED * np.median(values):
        low, high = np.exp(common_bounds(np.log(first), np.log(second)))
        return np.geomspace(low, high, count), True
    if len(values) and (distinct == np.rint(distinct)).all():
        # Bins of whole numbers each, or some bins hold more of them than others.
        step = max(1, math.ceil((high - low) / count))
        start = math.floor(low) - 0.5
        return np.arange(start, high + step, step), False
    return np.linspace(low, high, count + 1), False


def _regular(edges: Array, logarithmic: bool) -> bool:
    return logarithmic or bool(np.allclose(np.diff(edges), edges[1] - edges[0]))


def _frequent(labels: tuple[str, ...], fractions: Array) -> tuple[list[str], Array]:
    """At most so many labels as a chart can hold, in their order, the others together."""
    if len(labels) <= _BARS:
        return list(labels), fractions
    weight = fractions.sum(0) + 4 * np.abs(fractions[0] - fractions[1])
    chosen = np.sort(np.argsort(-weight, kind="stable")[: _BARS - 1])
    rest = fractions.sum(1, keepdims=True) - fractions[:, chosen].sum(1, keepdims=True)
    others = f"{len(labels) - len(chosen)} others"
    return [*(labels[i] for i in chosen), others], np.concatenate([fractions[:, chosen], rest.clip(0)], 1)
