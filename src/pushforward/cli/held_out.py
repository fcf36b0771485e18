"""Scores of the model of a table on rows that it has not seen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pushforward.array_types import Array
from pushforward.estimators.columns.arrow_types import to_numbers
from pushforward.estimators.columns.tables import Table, read_table
from pushforward.estimators.density import FlowDensity
from pushforward.estimators.quality import quality_of
from pushforward.estimators.regressor import FlowRegressor
from pushforward.estimators.scoring import ScoreParts
from pushforward.estimators.table_estimator import table_weights
from pushforward.estimators.training_rows import training_rows
from pushforward.evaluation.scores import remark_on_few
from pushforward.evaluation.verdict import Verdict

_COVERAGE = 0.9


@dataclass(frozen=True)
class HeldOut:
    """Scores of held-out rows: numbers by name, for JSON, and the same in words."""

    numbers: dict[str, Any]
    lines: tuple[str, ...]


def density_scores(model: FlowDensity, rows: Any) -> HeldOut:
    """The mean log-density of rows, and those of its discrete and continuous part."""
    parts = model.score_parts(rows)
    weights = model.weights(rows)
    counts = np.ones(len(parts.discrete)) if weights is None else weights
    possible = parts.discrete > -np.inf
    mean = _Mean.of((parts.discrete + parts.continuous)[possible], counts[possible])
    of_parts = {name: _Mean.of(part[possible], counts[possible]).value for name, part in parts._asdict().items()}
    return _density_scores("held-out", mean, len(possible), int((~possible).sum()), of_parts)


def regression_scores(model: FlowRegressor, features: Any, targets: Any) -> HeldOut:
    """The mean log-density of the targets, and the fraction of them that the intervals hold."""
    logs = model.log_density(features, targets)
    weights = table_weights(model.plan_, read_table(features))
    counts = np.ones(len(logs)) if weights is None else weights
    possible = logs > -np.inf
    mean = _Mean.of(logs[possible], counts[possible])
    intervals = model.predict_interval(features, _COVERAGE).reshape(len(logs), -1, 2)
    names = targets.column_names
    values = np.stack([to_numbers(targets.column(name).combine_chunks()) for name in names], 1)
    inside = (intervals[:, :, 0] <= values) & (values <= intervals[:, :, 1])
    coverage = {name: float(np.average(inside[:, place], weights=counts)) for place, name in enumerate(names)}
    return _regression_scores("held-out", mean, len(possible), int((~possible).sum()), coverage)


def reported_scores(numbers: Mapping[str, Any]) -> HeldOut:
    """The scores in the numbers of a report on new rows."""
    held_out, rows = numbers["held_out"], numbers["data"]["scored"]
    total = held_out["total"]
    mean = _Mean(math.nan if total["mean"] is None else total["mean"], total["standard_error"])
    impossible = held_out["zero_density"]
    if numbers["kind"] == "density":
        parts = {name: held_out[name]["mean"] for name in ScoreParts._fields}
        return _density_scores("scores", mean, rows, impossible, parts)
    coverage = {
        target["name"]: level["fraction"]
        for target in numbers["predictions"]
        for level in target["coverage"]
        if level["level"] == _COVERAGE
    }
    return _regression_scores("scores", mean, rows, impossible, coverage)


def verdict(model: FlowDensity | FlowRegressor, train: Sequence[Table], test: Sequence[Table], seed: int) -> Verdict:
    """The verdict on the fit. train, test: tables of the columns of each of its plans."""
    plans = [model.plan_] if isinstance(model, FlowDensity) else [model.plan_, model.target_plan_]
    fitted, judges = (
        training_rows(list(zip(plans, tables, strict=True)), table_weights(model.plan_, tables[0]), seed)
        for tables in (train, test)
    )
    names = [name for plan in plans for name in plan.names]
    return quality_of(model.model_, fitted, judges, names, seed).verdict


@dataclass(frozen=True)
class _Mean:
    """A weighted mean with its standard error."""

    value: float
    error: float | None

    @classmethod
    def of(cls, values: Array, weights: Array) -> _Mean:
        total = weights.sum()
        if not total > 0:
            return cls(math.nan, None)
        value = float((weights * values).sum() / total)
        error = math.sqrt(float((weights**2 * (values - value) ** 2).sum())) / float(total)
        return cls(value, error if len(values) > 1 else None)


def _density_scores(title: str, mean: _Mean, rows: int, impossible: int, parts: dict[str, Any]) -> HeldOut:
    in_parts = ", ".join(f"{name} part {math.nan if value is None else value:.4f}" for name, value in parts.items())
    return _with_impossible(title, mean, f"nats a row ({in_parts})", rows, impossible, parts)


def _regression_scores(title: str, mean: _Mean, rows: int, impossible: int, coverage: dict[str, float]) -> HeldOut:
    held = _with_impossible(
        title, mean, f"nats a row, of {', '.join(coverage)}", rows, impossible, {"coverage": coverage}
    )
    lines = [f"  the {_COVERAGE:.0%} interval of {name} holds {part:.1%} of them" for name, part in coverage.items()]
    return HeldOut(held.numbers, (*held.lines, *lines))


def _with_impossible(title: str, mean: _Mean, unit: str, rows: int, impossible: int, more: dict[str, Any]) -> HeldOut:
    """The scores of the rows that are possible, and the number of the others."""
    finite = mean.value if math.isfinite(mean.value) else None
    numbers = {"rows": rows, "zero_density": impossible, "mean": finite, "standard_error": mean.error}
    error = "" if mean.error is None else f" +- {mean.error:.4f}"
    shown = "no row has a density above 0" if finite is None else f"mean log-density {mean.value:.4f}{error} {unit}"
    lines = [f"{title} ({rows:,} rows): {shown}"]
    if impossible and finite is not None:
        lines.append(f"  without {impossible:,} of them, which have a density of 0")
    if remark := remark_on_few(rows, "rows"):
        lines.append(f"  note: {remark}")
    return HeldOut(numbers | more if finite is not None else numbers, tuple(lines))
