"""Charts of log-densities, of coverage and of predictions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pushforward.array_types import Array
from pushforward.reports.column_figures import bounds
from pushforward.reports.theme import DATA, FAINT, INK, MODEL, legend, panel, short, svg

_BINS = 30


def row_by_row(own: Array, other: Array, name: str) -> list[str]:
    """Log-densities ``(N,)`` of rows under the model and another: the points, and the differences."""
    finite = np.isfinite(own) & np.isfinite(other)
    own, other = own[finite], other[finite]
    if len(own) < 2:
        return []
    figure, [[ax]] = panel(3.4, 2.7)
    shown = np.random.default_rng(0).permutation(len(own))[:1500]
    both = np.concatenate([own, other])
    low, high = np.quantile(both, 0.005), both.max()
    margin = 0.03 * (high - low) or 1.0
    ax.plot([low, high], [low, high], color=INK, linewidth=0.8, linestyle="--", zorder=3)
    ax.plot(other[shown], own[shown], linestyle="", marker=".", markersize=2.4, color=MODEL, alpha=0.5)
    ax.set(xlim=(low - margin, high + margin), ylim=(low - margin, high + margin))
    ax.set(xlabel=f"{name}, nats", ylabel="model, nats")
    ax.locator_params(nbins=5)
    differences = own - other
    second, [[ax2]] = panel(3.4, 2.7)
    ends = np.quantile(differences, (0.005, 0.995))
    reach = max(float(np.abs(ends).max()), 1e-3)
    heights, edges = np.histogram(differences.clip(-reach, reach), 40, (-reach, reach))
    ax2.stairs(100 * heights / len(differences), edges, color=MODEL, fill=True, alpha=0.55)
    ax2.axvline(0, color=INK, linewidth=0.8, linestyle="--")
    ax2.set(xlabel=f"model minus {name}, nats", ylabel="% of rows")
    ax2.locator_params(axis="x", nbins=4)
    return [svg(figure, f"Log-densities of rows under the model and the {name}"), svg(second, f"Model minus {name}")]


def log_density_histograms(rows: Array, samples: Array) -> str:
    """Histograms of the log-densities ``(N,)`` of rows and ``(M,)`` of samples, without the lowest 0.5 %."""
    figure, [[ax]] = panel(3.4, 2.4)
    rows, samples = rows[np.isfinite(rows)], samples[np.isfinite(samples)]
    both = np.concatenate([rows, samples])
    low, high = (np.quantile(both, 0.005), both.max()) if len(both) else (0.0, 1.0)
    edges = np.linspace(low, high if high > low else low + 1, 40)
    for values, colour, fill in ((rows, DATA, True), (samples, MODEL, False)):
        heights = 100 * np.histogram(values, edges)[0] / max(1, len(values))
        ax.stairs(heights, edges, color=colour, fill=fill, alpha=0.45 if fill else 1.0, linewidth=0 if fill else 1.3)
    ax.set(xlabel="log-density, nats", ylabel="% of rows")
    return svg(figure, "Log-densities of rows and of samples")


def coverage_chart(levels: Sequence[float], fractions: Sequence[float], rows: int, name: str) -> str:
    """Coverage minus its level, in percentage points, with the 95 % interval of each level alone."""
    figure, [[ax]] = panel(3.4, 2.1)
    grid = np.linspace(0.01, 0.995, 60)
    half = 196 * np.sqrt(grid * (1 - grid) / max(1, rows))
    ax.fill_between(100 * grid, -half, half, color=FAINT, alpha=0.5, linewidth=0)
    ax.axhline(0, color=INK, linewidth=0.8, linestyle="--")
    excess = 100 * (np.asarray(fractions) - np.asarray(levels))
    ax.plot(100 * np.asarray(levels), excess, color=MODEL, marker="o", markersize=4, linewidth=1.2)
    reach = 1.2 * max(float(half.max()), float(np.abs(excess).max(initial=0)), 1.0)
    ax.set(xlim=(0, 100), ylim=(-reach, reach), xlabel="level, %", ylabel="coverage − level, %")
    return svg(figure, f"Coverage by level, {name}")


def interval_chart(name: str, actual: Array, mean: Array, low: Array, high: Array) -> str:
    """Values against predicted means, with the median ends of their 90 % intervals among rows of a similar mean."""
    figure, [[ax]] = panel(3.4, 2.7)
    order = np.argsort(mean, kind="stable")
    bins = [part for part in np.array_split(order, min(_BINS, max(1, len(order) // 8))) if len(part)]
    x = [float(np.median(mean[part])) for part in bins]
    ends = [[float(np.median(each[part])) for part in bins] for each in (low, high)]
    ax.fill_between(x, ends[0], ends[1], color=MODEL, alpha=0.22, linewidth=0, label="90 % interval")
    shown = np.random.default_rng(0).permutation(len(mean))[:1200]
    ax.plot(mean[shown], actual[shown], linestyle="", marker=".", markersize=2.4, color=DATA, alpha=0.55)
    limits = bounds(mean)
    ax.plot(limits, limits, color=INK, linewidth=0.8, linestyle="--", label="mean")
    ax.set(xlim=limits, ylim=bounds(np.concatenate([actual, *ends])))
    ax.set(xlabel="predicted mean", ylabel=short(name))
    ax.locator_params(nbins=4)
    ax.ticklabel_format(useOffset=False, scilimits=(-4, 6))
    legend(ax)
    return svg(figure, f"{name} and its 90 % intervals against the predicted mean")


def width_chart(name: str, widths: Array) -> str:
    """The widths ``(N,)`` of the 90 % intervals of rows."""
    figure, [[ax]] = panel(3.4, 2.1)
    bins = int(np.clip(math.sqrt(len(widths)), 8, 40))
    low, high = bounds(widths)
    heights, edges = np.histogram(widths, bins, (max(low, 0.0), high))
    ax.stairs(100 * heights / max(1, len(widths)), edges, color=MODEL, fill=True, alpha=0.55)
    ax.set(xlabel="width of the 90 % interval", ylabel="% of rows")
    ax.locator_params(axis="x", nbins=4)
    ax.set_xlim(left=max(ax.get_xlim()[0], 0.0))
    return svg(figure, f"Widths of the 90 % intervals of {name}")
