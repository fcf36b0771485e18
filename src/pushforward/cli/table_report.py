"""The report on other rows for the model of a table: which columns drifted, the scores, the verdicts and the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pushforward.cli.fit_facts import read_facts, read_marginals, training_rows_note
from pushforward.cli.held_out import HeldOut, reported_scores
from pushforward.cli.parameters import Running
from pushforward.cli.progress import tell
from pushforward.cli.reporting import name_for, page_at, place_report, print_verdicts
from pushforward.cli.table_models import load_table_model, rows_for
from pushforward.cli.table_rows import read_rows, require_columns, take
from pushforward.data.reading import naming
from pushforward.errors import OptionError
from pushforward.estimators.density import FlowDensity
from pushforward.estimators.regressor import FlowRegressor
from pushforward.estimators.saved_estimators import fit_marginals
from pushforward.estimators.table_estimator import record_marginals
from pushforward.reports import Report

_MOST_ROWS = 100_000


def run_table_report(path: Path, file: Path, *, out: Path | None, running: Running) -> None:
    """Print the drift, the scores and the verdicts, and write the page; see `pushforward.cli.report.report`."""
    if out is not None:
        page_at(out)
    model = load_table_model(path, running)
    if not fit_marginals(model):
        record_marginals(model, read_marginals(path))
    if not fit_marginals(model):
        raise OptionError(f"{path} has no record of its training columns, because an old version saved it: fit it anew")
    table = read_rows(file)
    if len(table) > _MOST_ROWS:
        table = take(table, np.random.default_rng(running.chosen_seed).permutation(len(table))[:_MOST_ROWS])
        print(f"the report is on {_MOST_ROWS:,} random rows of {file}")
    note = training_rows_note(path, file)
    if note:
        tell(f"note: {note}")
    report = _report(model, table, file, (note,) if note else ())
    numbers = report.numbers
    scores = reported_scores(numbers)
    problems = [f"    {problem}" for problem in numbers["data"]["problems"]]
    print("\n".join([*_sentences(numbers["drift"]), *_scores(scores, problems, read_facts(path))]))
    print_verdicts(numbers["verdict"])
    report = Report(report.html, {**numbers, "rows": len(table), "scores": scores.numbers, "columns": numbers["drift"]})
    print(f"report: {place_report(report, path, name_for(file.name), out)}")


def _report(model: FlowDensity | FlowRegressor, table: Any, file: Path, notes: tuple[str, ...]) -> Report:
    rows = rows_for(model.plan_, table, file)
    if isinstance(model, FlowDensity):
        with naming(file):
            return model.report(X=rows, name=file.name, notes=notes)
    require_columns(file, table.column_names, model.target_plan_.names)
    targets = table.select([column.name for column in model.target_plan_.columns])
    with naming(file):
        return model.report(X=rows, y=targets, name=file.name, notes=notes)


def _sentences(changes: list[dict[str, Any]]) -> list[str]:
    drifted = [change for change in changes if change["significant"]]
    if not drifted:
        return [f"no column drifted: none of {len(changes):,} differs from the training rows by more than chance"]
    width = max(len(change["column"]) for change in drifted)
    lines = [f"{len(drifted):,} of {len(changes):,} columns drifted (differ from the training rows beyond chance):"]
    for change in drifted:
        where = f"{change['column']:<{width}}"
        lines.append(f"  {where}  by up to {change['size']:.3f}: {change['before']} -> {change['after']}")
    return lines


def _scores(scores: HeldOut, problems: list[str], facts: dict[str, Any]) -> list[str]:
    lines = [*scores.lines, *problems]
    held_out = facts.get("held_out")
    if held_out and held_out["mean"] is not None:
        lines.append(f"  at the fit: {held_out['mean']:.4f} on {held_out['rows']:,} held-out rows")
    return lines
