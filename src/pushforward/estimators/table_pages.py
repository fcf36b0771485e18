"""The charts of the report of a model of a table, and the numbers that belong to them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from pushforward.array_types import Array
from pushforward.estimators.column_views import column_views, marginal_view
from pushforward.estimators.columns.plan import ColumnPlan
from pushforward.estimators.drift import Drift, Marginals
from pushforward.estimators.encoded import EncodedRows
from pushforward.estimators.models.table_model import TableModel
from pushforward.evaluation.calibration import kolmogorov
from pushforward.evaluation.dependence import informational_correlation, strongest_pairs
from pushforward.evaluation.fit_quality import FitQuality
from pushforward.evaluation.fit_quality.columns import extreme_quantiles
from pushforward.evaluation.fit_quality.p_values import band, pit_among
from pushforward.evaluation.predictive_scores import PredictedTarget
from pushforward.reports import column_figures, fit_figures
from pushforward.reports.column_view import ColumnView
from pushforward.reports.figures import pit_histogram
from pushforward.reports.pair_figures import pair_chart
from pushforward.reports.theme import DATA, THIRD

_COLUMNS, _PAIRS, _DRIFTED, _PAIRED_COLUMNS = 24, 6, 12, 40
# The least dependence of a pair that is shown.
_DEPENDENT = 0.1


@dataclass(frozen=True, eq=False)
class Charted:
    """The content of the charts.

    shown: rows of the report, of equal weight, and samples. compared: of new rows, those of `compared_rows`.
    """

    model: TableModel
    plans: tuple[ColumnPlan, ...]
    records: tuple[Marginals, ...]
    shown: tuple[EncodedRows, EncodedRows]
    log_densities: tuple[Array, Array]
    mixture: Array | None
    compared: EncodedRows | None
    quality: FitQuality
    drift: list[Drift]
    predicted: tuple[PredictedTarget, ...]

    @cached_property
    def views(self) -> list[ColumnView]:
        """The columns that the model describes, of data and samples."""
        return column_views(self.plans, self.model.targets, *self.shown)

    @cached_property
    def pits(self) -> list[Array]:
        """Probability integral transforms of the numbers of each column, or of its states, among those of samples."""
        rng = np.random.default_rng(0)
        return [pit_among(*(view.numbers or view.states), rng) for view in self.views]

    @property
    def band(self) -> float:
        """The half-width of the band that holds the PIT curves of all columns, at 95 %."""
        return band(len(self.shown[0]), 0.05, max(1, len(self.views)), len(self.shown[1]))

    @cached_property
    def order(self) -> list[int]:
        """The columns to show: those farthest from uniform, in the order of the table."""
        worst = sorted(range(len(self.views)), key=lambda i: -kolmogorov(self.pits[i]) if len(self.pits[i]) else 0.0)
        return sorted(worst[:_COLUMNS])

    def marginals(self) -> list[dict[str, Any]]:
        """The distance of the PIT of each column from uniform, and its extreme quantiles."""
        return [
            {
                "column": view.name,
                "pit_distance": kolmogorov(pit) if len(pit) else None,
                "band": self.band,
                "axis": view.axis,
                "states": len(view.labels),
                "tails": None if view.numbers is None else extreme_quantiles(*view.numbers),
            }
            for view, pit in zip(self.views, self.pits, strict=True)
        ]

    @property
    def pairs_of(self) -> dict[str, Any]:
        """The number of columns that are compared in pairs, and the least dependence of a pair that is shown."""
        return {"columns": min(_PAIRED_COLUMNS, len(self.views)), "least": _DEPENDENT}

    def pairs(self) -> list[dict[str, Any]]:
        """The pairs of columns that depend most on each other, with their coefficients in data and in samples."""
        return [
            {
                "columns": [self.views[i].name, self.views[j].name],
                "data": size,
                "samples": informational_correlation(self.views[i].codes(1), self.views[j].codes(1)),
            }
            for i, j, size in self.strongest
        ]

    @cached_property
    def strongest(self) -> list[tuple[int, int, float]]:
        """The most dependent pairs among the first columns, without those that hardly depend on each other."""
        pairs = strongest_pairs([view.codes(0) for view in self.views[:_PAIRED_COLUMNS]], _PAIRS)
        return [pair for pair in pairs if pair[2] >= _DEPENDENT]

    @property
    def drifted(self) -> list[Drift]:
        """The changes of the columns that drifted most."""
        return [change for change in self.drift if change.significant][:_DRIFTED]


def charts_of(content: Charted) -> dict[str, Any]:
    """The charts by name, as SVG."""
    coverage = [finding for finding in content.quality.findings if finding.measure == "coverage"]
    levels: dict[str, float] = coverage[0].values["levels"] if coverage else {}
    own = content.log_densities[0]
    return {
        "densities": [fit_figures.log_density_histograms(*content.log_densities)],
        "coverage": _coverage(levels, len(own)) if not content.predicted else [],
        "mixture": [] if content.mixture is None else fit_figures.row_by_row(own, content.mixture, "mixture"),
        "columns": [_column(content, i) for i in content.order],
        "pairs": [pair_chart(content.views[i], content.views[j]) for i, j, _ in content.strongest],
        "drift": _drifted(content),
        "predictions": [_prediction(each) for each in content.predicted],
    }


def _coverage(levels: dict[str, float], rows: int) -> list[str]:
    if not levels:
        return []
    asked = [float(level) for level in levels]
    return [fit_figures.coverage_chart(asked, list(levels.values()), rows, "regions of highest density")]


def _column(content: Charted, number: int) -> list[str]:
    view = content.views[number]
    charts = []
    if view.numbers is not None and np.isfinite(view.numbers[0]).any():
        charts.append(column_figures.histogram(view))
    if len(view.labels) > 1:
        charts.append(column_figures.bars(view))
    # The transforms of a predicted target are those of its predictive distributions, in a chart of their own.
    predicted = view.name in [target.name for target in content.predicted]
    if view.numbers is not None and len(content.pits[number]) and not predicted:
        charts.append(column_figures.pit_curve(content.pits[number], content.band, view.name))
    return charts


def _drifted(content: Charted) -> list[str]:
    """A chart of the training rows and of the new rows for the columns that drifted most."""
    modelled = [column for plan in content.plans for column in plan.modelled]
    records = [marginal for marginals in content.records for marginal in marginals.columns]
    names = [column.name for column in modelled]
    charts = list[str]()
    if content.compared is None:
        return charts
    for change in content.drifted:
        place = names.index(change.column)
        view = marginal_view(modelled[place], records[place], content.compared, place)
        cdf = np.asarray(records[place].cdf)
        options = {"names": ("training", "new rows"), "colours": (DATA, THIRD)}
        if view.numbers is not None and len(cdf) and not change.by_states:
            charts.append(column_figures.distribution_functions(view, view.numbers[0], cdf, **options))
        else:
            charts.append(column_figures.bars(view, **options))
    return charts


def _prediction(target: PredictedTarget) -> dict[str, Any]:
    coverage = target.randomised_coverage
    rows = len(target.actual)
    return {
        "intervals": [
            fit_figures.interval_chart(target.name, target.actual, target.mean, target.low, target.high),
            fit_figures.width_chart(target.name, target.high - target.low),
        ],
        "calibration": [
            pit_histogram(target.pit, target.name),
            column_figures.pit_curve(target.pit, band(rows, 0.05, 1), target.name),
            fit_figures.coverage_chart(list(coverage), list(coverage.values()), rows, f"intervals of {target.name}"),
        ],
    }
