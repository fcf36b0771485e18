"""The report on other rows for the model of a table: which columns drifted, and the scores."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pushforward.atomic_files import write_atomically
from pushforward.cli.fit_facts import read_facts, read_marginals
from pushforward.cli.held_out import HeldOut, density_scores, regression_scores
from pushforward.cli.parameters import Running
from pushforward.cli.table_models import load_table_model, rows_for
from pushforward.cli.table_rows import read_rows, require_columns, take
from pushforward.errors import OptionError
from pushforward.estimators.columns.plan import ColumnPlan
from pushforward.estimators.density import FlowDensity
from pushforward.estimators.drift import Drift, drift
from pushforward.estimators.table_estimator import table_weights

_MOST_ROWS = 100_000


def run_table_report(path: Path, file: Path, *, out: Path | None, running: Running) -> None:
    """Print the drift and the scores, and write `report.json`; see `pushforward.cli.report.report`."""
    model = load_table_model(path, running)
    fitted = read_marginals(path)
    if not fitted:
        raise OptionError(f"{path} has no record of its training columns: fit it with `pushforward fit`, not in Python")
    table = read_rows(file)
    if len(table) > _MOST_ROWS:
        table = take(table, np.random.default_rng(running.chosen_seed).permutation(len(table))[:_MOST_ROWS])
        print(f"the report is on {_MOST_ROWS:,} random rows of {file}")
    plans = [model.plan_] if isinstance(model, FlowDensity) else [model.plan_, model.target_plan_]
    weights = table_weights(model.plan_, rows_for(model.plan_, table, file))
    changes = [
        change
        for plan, marginals in zip(plans, fitted, strict=True)
        for change in drift(plan, marginals, _encoded(plan, table, file), weights)
    ]
    if isinstance(model, FlowDensity):
        scores = density_scores(model, rows_for(model.plan_, table, file), "scores")
    else:
        require_columns(file, table.column_names, model.target_plan_.names)
        targets = table.select([column.name for column in model.target_plan_.columns])
        scores = regression_scores(model, rows_for(model.plan_, table, file), targets, "scores")
    print("\n".join([*_sentences(changes), *_scores(scores, read_facts(path))]))
    numbers = {"rows": len(table), "scores": scores.numbers, "columns": [asdict(change) for change in changes]}
    content = json.dumps(numbers, indent=1).encode() + b"\n"
    folder = path if out is None else out
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "report.json", content)
    print(f"report: {folder / 'report.json'}")


def _encoded(plan: ColumnPlan, table: Any, file: Path) -> Any:
    return plan.encode(rows_for(plan, table, file), places=[0.5] * plan.dequantised)


def _sentences(changes: list[Drift]) -> list[str]:
    drifted = [change for change in changes if change.significant]
    if not drifted:
        return [f"no column drifted: none of {len(changes):,} differs from the training rows by more than chance"]
    width = max(len(change.column) for change in drifted)
    lines = [f"{len(drifted):,} of {len(changes):,} columns drifted (differ from the training rows beyond chance):"]
    for change in drifted:
        lines.append(f"  {change.column:<{width}}  by up to {change.size:.3f}: {change.before} -> {change.after}")
    return lines


def _scores(scores: HeldOut, facts: dict[str, Any]) -> list[str]:
    lines = list(scores.lines)
    held_out = facts.get("held_out")
    if held_out and held_out["mean"] is not None:
        lines.append(f"  at the fit: {held_out['mean']:.4f} on {held_out['rows']:,} held-out rows")
    return lines
