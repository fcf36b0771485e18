"""Summary of the saved model of a table in text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from shutil import get_terminal_size
from typing import Any

from pushforward.cli.fit_facts import read_facts
from pushforward.cli.parameters import Running
from pushforward.cli.table_models import load_table_model
from pushforward.estimators.columns.plan import ColumnPlan
from pushforward.estimators.density import FlowDensity
from pushforward.storage.files import CONFIG, read_manifest, read_object


def table_summary(path: Path) -> str:
    """The estimator, its fit, its members, notes and files, and the plan of its columns."""
    model = load_table_model(path, Running())
    facts: list[tuple[str, str]] = [("model", type(model).__name__), *_of_fit(read_facts(path))]
    given = {name: value for name, value in model.get_params().items() if value is not None}
    facts += [
        ("members", model.model_.members_in_words),
        *(("note", note) for note in model.model_.notes),
        ("parameters", ", ".join(f"{name} {value}" for name, value in given.items())),
        ("files", ", ".join(read_manifest(path).files) + " (unchanged)"),
    ]
    lines = [f"{name:<12} {text}" for name, text in facts]
    plans = [model.plan_] if isinstance(model, FlowDensity) else [model.plan_, model.target_plan_]
    return "\n".join([*lines, "", plans_in_words(plans)])


def plans_in_words(plans: Sequence[ColumnPlan]) -> str:
    """The plan of the columns and, if there is a second, that of the targets, as wide as the terminal."""
    width = max(60, get_terminal_size().columns)
    of_columns, *of_targets = (plan.summary(width) for plan in plans)
    return "\n".join([*(f"targets:\n{text}\n" for text in of_targets), of_columns])


def table_config(path: Path) -> str:
    """The content of `config.json`."""
    load_table_model(path, Running())
    return json.dumps(read_object(path / CONFIG), indent=2)


def _of_fit(facts: dict[str, Any]) -> list[tuple[str, str]]:
    if not facts:
        return []
    lines = [("data", f"{facts['data']}, {facts['rows']:,} training rows"), ("time", f"{facts['seconds']:.1f} s")]
    scores = facts["held_out"]
    if scores and scores["mean"] is not None:
        error = "" if scores["standard_error"] is None else f" +- {scores['standard_error']:.4f}"
        lines.append(("held-out", f"{scores['rows']:,} rows, mean log-density {scores['mean']:.4f}{error} nats"))
    if facts.get("verdict"):
        reasons = "; ".join(facts["verdict"]["reasons"])
        lines.append(("fit", facts["verdict"]["state"] + (f": {reasons}" if reasons else "")))
    return lines
