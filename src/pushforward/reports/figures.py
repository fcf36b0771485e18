"""The charts of a report, as SVG that follows the page's theme."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pushforward.array_types import Array
from pushforward.reports.column_figures import common_bounds
from pushforward.reports.theme import DATA, FAINT, INK, MODEL, THIRD, legend, panel, short, svg
from pushforward.units import Unit, better

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from PIL.Image import Image


def data_uri(image: Image) -> str:
    """A picture as a PNG in a ``data:`` URI, which a page shows without a network request."""
    written = io.BytesIO()
    image.save(written, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(written.getvalue()).decode()


def curves(history: Sequence[dict[str, Any]]) -> list[str]:
    """Likelihood, gradient norm and learning rate against minutes of training, from the entries of a fit's history."""
    unit: Unit = next((e["unit"] for e in history if e.get("unit")), "nats")
    drawn = []
    figure, [[ax]] = panel()
    lines = [_series(history, key) for key in ("train", "validation")]
    for (minutes, values), name, colour in zip(lines, ("training", "validation"), (DATA, MODEL), strict=True):
        if len(values):
            ax.plot(minutes, values, color=colour, linewidth=1.4, label=name, marker="." if len(values) < 15 else "")
    _focus(ax, np.concatenate([values for _, values in lines]), unit)
    ax.set(xlabel="minutes", ylabel=f"{unit} ({better(unit)} is better)")
    if ax.lines:
        legend(ax)
        drawn.append(svg(figure, f"Training curves in {unit}"))
    for key, name in (("gradient_norm", "gradient norm"), ("lr", "learning rate")):
        minutes, values = _series(history, key)
        if len(values) < 2:
            continue
        figure, [[ax]] = panel()
        ax.plot(minutes, values, color=DATA, linewidth=1.2)
        if key == "gradient_norm" and values.min() > 0 and values.max() > 20 * values.min():
            ax.set_yscale("log")
        ax.set(xlabel="minutes", ylabel=name)
        drawn.append(svg(figure, name.capitalize()))
    return drawn


def _series(history: Sequence[dict[str, Any]], key: str) -> tuple[Array, Array]:
    points = [(e["seconds"] / 60, e[key]) for e in history if e.get(key) is not None and e.get("seconds") is not None]
    array = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    array = array[np.isfinite(array).all(1)]
    return array[:, 0], array[:, 1]


def _focus(ax: Axes, values: Array, unit: Unit) -> None:
    """Set the axis limits so that the first moments of training do not flatten the rest of the curve."""
    if len(values) < 8:
        return
    low, middle, high = np.percentile(values, (0, 50, 100))
    if unit == "bits/dim" and high - middle > 4 * (middle - low) > 0:
        ax.set_ylim(low - 0.2 * (middle - low), middle + 3 * (middle - low))
    elif unit != "bits/dim" and middle - low > 4 * (high - middle) > 0:
        ax.set_ylim(middle - 3 * (high - middle), high + 0.2 * (high - middle))


def quantile_plot(expected: Array, observed: Array, label: str, xlabel: str, ylabel: str) -> str:
    """Quantile-quantile plot: ``observed: (K, Q)`` of K samples against ``expected: (Q,)`` or ``(K, Q)``.

    Equal quantiles lie on the diagonal; with several samples, the thick line is their median.
    """
    figure, [[ax]] = panel()
    observed = np.atleast_2d(observed)
    expected = np.broadcast_to(expected, observed.shape)
    ends = [float(expected.min()), float(expected.max())]
    ax.plot(ends, ends, color=INK, linewidth=0.8, linestyle="--", zorder=3)
    alone = len(observed) == 1
    for x, y in zip(expected, observed, strict=True):
        ax.plot(x, y, color=MODEL if alone else DATA, linewidth=1.4 if alone else 0.6, alpha=1.0 if alone else 0.5)
    if not alone:
        ax.plot(np.median(expected, 0), np.median(observed, 0), color=MODEL, linewidth=1.6, zorder=4)
    # A few outlying coordinates must not flatten the others into a line; the numbers beside the chart report them.
    span = ends[1] - ends[0] or 1.0
    bottom, top = max(float(observed.min()), ends[0] - span), min(float(observed.max()), ends[1] + span)
    ax.set_ylim(min(bottom, ends[0]) - 0.04 * span, max(top, ends[1]) + 0.04 * span)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    return svg(figure, label)


def pit_histogram(values: Array, name: str) -> str:
    """Histogram of probability integral transforms ``(N,)`` of one column, with the 95 % band of uniform ones."""
    figure, [[ax]] = panel(3.0, 2.1)
    bins = int(np.clip(len(values) // 25, 5, 20))
    heights, edges = np.histogram(values, bins, (0, 1), density=True)
    spread = 1.96 * math.sqrt((bins - 1) / max(1, len(values)))
    ax.axhspan(max(0.0, 1 - spread), 1 + spread, color=FAINT, alpha=0.5, linewidth=0)
    ax.stairs(heights, edges, color=MODEL, fill=True, alpha=0.55)
    ax.stairs(heights, edges, color=MODEL, linewidth=1.0)
    ax.axhline(1, color=INK, linewidth=0.8, linestyle="--")
    ax.set(xlim=(0, 1), xlabel=f"PIT of {short(name)}", ylim=(0, max(1.6, float(heights.max()) * 1.1)))
    return svg(figure, f"PIT histogram of {name}")


def corner(data: Array, samples: Array, columns: Sequence[str]) -> str:
    """Corner plot of every pair of columns: data ``(N, K)`` as dots, samples ``(M, K)`` as lines of 50, 80 and 95 %.

    The diagonal shows the histogram of each column. Axes show the middle 99.8 % of the data, slightly widened.
    """
    count = len(columns)
    size = max(3.6, 1.35 * count + 0.5)
    figure, axes = panel(size, size, count, count)
    ranges = [common_bounds(data[:, i], samples[:, i]) for i in range(count)]
    for row in range(count):
        for column in range(count):
            ax = axes[row][column]
            if column > row:
                ax.set_axis_off()
                continue
            if row == column:
                _histograms(ax, data[:, row], samples[:, row], ranges[row])
            else:
                pair(ax, data[:, [column, row]], samples[:, [column, row]], (ranges[column], ranges[row]))
            ax.locator_params(nbins=3)
            ax.tick_params(labelbottom=row == count - 1, labelleft=column == 0 and row > 0)
            if row == count - 1:
                ax.set_xlabel(short(columns[column]))
            if column == 0 and row > 0:
                ax.set_ylabel(short(columns[row]))
    return svg(figure, "Corner plot of data and model, columns " + ", ".join(columns))


def _histograms(ax: Axes, data: Array, samples: Array, bounds: tuple[float, float]) -> None:
    bins = int(np.clip(math.sqrt(len(data)), 8, 40))
    for values, colour, fill in ((data, DATA, True), (samples, MODEL, False)):
        counts, edges = np.histogram(values, bins, bounds)
        heights = counts / max(1, len(values))
        ax.stairs(heights, edges, color=colour, fill=fill, alpha=0.45 if fill else 1.0, linewidth=0 if fill else 1.3)
    ax.set(xlim=bounds, yticks=[])
    ax.spines["left"].set_visible(False)


def pair(
    ax: Axes, data: Array, samples: Array, bounds: tuple[tuple[float, float], tuple[float, float]], dots: int = 400
) -> None:
    """Draw data ``(N, 2)`` as dots and samples ``(M, 2)`` as lines around 50, 80 and 95 % of them."""
    from scipy.ndimage import gaussian_filter

    shown = data[np.random.default_rng(0).permutation(len(data))[:dots]]
    ax.plot(shown[:, 0], shown[:, 1], linestyle="", marker=".", markersize=2.2, color=DATA, alpha=0.6)
    density, x, y = np.histogram2d(samples[:, 0], samples[:, 1], 48, bounds)
    density = gaussian_filter(density, 1.3)
    levels = _region_levels(density, (0.95, 0.8, 0.5))
    if levels:
        middle = [(edges[1:] + edges[:-1]) / 2 for edges in (x, y)]
        ax.contour(*middle, density.T, levels=levels, colors=MODEL, linewidths=0.9)
    ax.set(xlim=bounds[0], ylim=bounds[1])


def _region_levels(density: Array, fractions: Sequence[float]) -> list[float]:
    """Density levels, ascending, of the regions with the given fractions of the mass; none for an empty density."""
    heights = np.sort(density.ravel())[::-1]
    mass = np.cumsum(heights)
    if not mass[-1] > 0:
        return []
    levels = {float(heights[np.searchsorted(mass, fraction * mass[-1])]) for fraction in fractions}
    return sorted(level for level in levels if 0 < level < heights[0])


def density_map(
    log_density: Array, bounds: tuple[tuple[float, float], tuple[float, float]], names: Sequence[str]
) -> str:
    """Density map in the plane, of ``log_density: (rows of y, columns of x)``, both in ascending order."""
    figure, [[ax]] = panel(3.6, 3.2)
    top = log_density[np.isfinite(log_density)].max(initial=-math.inf)
    height = np.exp(np.clip(np.nan_to_num(log_density, nan=-math.inf) - top, -700, 0)) if np.isfinite(top) else None
    if height is not None:
        (left, right), (low, high) = bounds
        # The square root shows regions of low density, which are black on a linear scale.
        ax.imshow(np.sqrt(height), origin="lower", extent=(left, right, low, high), aspect="auto", cmap="magma")
    ax.set(xlabel=short(names[0]), ylabel=short(names[1]), xlim=bounds[0], ylim=bounds[1])
    return svg(figure, "The model's density")


def scatter(
    points: Array, bounds: tuple[tuple[float, float], tuple[float, float]], names: Sequence[str], what: str
) -> str:
    """Scatter plot of points ``(N, 2)`` in the plane; ``what`` names them: "data" or "samples"."""
    figure, [[ax]] = panel(3.6, 3.2)
    colour = DATA if what == "data" else MODEL
    ax.plot(points[:, 0], points[:, 1], linestyle="", marker=".", markersize=1.8, color=colour, alpha=0.7)
    ax.set(xlabel=short(names[0]), ylabel=short(names[1]), xlim=bounds[0], ylim=bounds[1])
    return svg(figure, f"{what.capitalize()} in the plane")


def comparison(
    names: Sequence[str], roles: Sequence[str], means: Sequence[float], halves: Sequence[float], unit: Unit
) -> str:
    """Chart of mean likelihoods with intervals of half-lengths ``halves``, one row per model.

    roles: ``flow``, or that of a baseline.
    """
    figure, [[ax]] = panel(4.2, 0.55 + 0.34 * len(names))
    places = np.arange(len(names))[::-1]
    colours = [{"flow": MODEL, "truth": THIRD}.get(role, DATA) for role in roles]
    for place, mean, half, colour in zip(places, means, halves, colours, strict=True):
        ax.errorbar(mean, place, xerr=half, fmt="o", color=colour, markersize=5, linewidth=1.6, capsize=3)
    ax.set_yticks(places, [short(name, 28) for name in names])
    ax.set(xlabel=f"{unit} ({better(unit)} is better)", ylim=(-0.6, len(names) - 0.4))
    ax.locator_params(axis="x", nbins=6)
    ax.grid(axis="x", color=FAINT, linewidth=0.6)
    ax.set_axisbelow(True)
    return svg(figure, f"Held-out likelihoods in {unit}")


def bounds_of(values: Array) -> tuple[tuple[float, float], tuple[float, float]]:
    """The axis limits of a plot of points ``(N, 2)``: the middle 99.8 % of each coordinate, slightly widened."""
    return _range(values[:, 0]), _range(values[:, 1])


def _range(values: Array) -> tuple[float, float]:
    low, high = np.percentile(values, (0.1, 99.9))
    margin = 0.08 * (high - low) or max(0.5, 0.05 * abs(float(low)))
    return float(low - margin), float(high + margin)
