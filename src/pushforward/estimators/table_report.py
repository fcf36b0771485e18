"""The report of a model of a table: all measurements, then the page and the numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pushforward.array_types import Array
from pushforward.estimators.columns.plan import ColumnPlan
from pushforward.estimators.drift import Drift, Marginals
from pushforward.estimators.encoded import EncodedRows
from pushforward.estimators.models.table_model import TableModel
from pushforward.estimators.quality import evidence_of
from pushforward.estimators.report_rows import JudgedRows
from pushforward.estimators.table_checks import check_table
from pushforward.estimators.table_evidence import TableEvidence
from pushforward.estimators.table_pages import Charted, charts_of
from pushforward.evaluation.fit_quality import FitQuality, assess_fit
from pushforward.evaluation.fit_quality.meanings import MEANINGS
from pushforward.evaluation.fit_quality.resampling import count_of_independent, systematic
from pushforward.evaluation.scores import RunningSummary, Summary, summarise
from pushforward.evaluation.verdict import Verdict
from pushforward.reports.page import page
from pushforward.reports.report_file import Report
from pushforward.reports.report_json import as_json, versions

# Nats at a row from which on two densities differ.
_SAME = 1e-6


@dataclass(frozen=True, eq=False)
class Subject:
    """The parts of a fitted estimator that its report shows.

    plans: of the columns of the model, in their order. data: the name of the table. notes: for the head of the page.
    """

    name: str
    model: TableModel
    plans: tuple[ColumnPlan, ...]
    marginals: tuple[Marginals, ...]
    parameters: dict[str, Any]
    seed: int
    data: str = "a table"
    notes: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns of the model."""
        return tuple(name for plan in self.plans for name in plan.names)


def table_report(subject: Subject, judged: JudgedRows) -> Report:
    """The report of a model on rows that it has not seen."""
    model, seed = subject.model, subject.seed
    evidence = evidence_of(model, judged.train, judged.rows, subject.columns, seed, judged.name)
    quality = assess_fit(evidence.fit, seed)
    checks = check_table(model, subject.plans, evidence)
    even, mixture = _of_equal_weight(evidence, seed), _mixture(evidence)
    charted = Charted(
        model=model,
        plans=subject.plans,
        records=subject.marginals,
        shown=even,
        log_densities=(evidence.fit.log_held_out, evidence.log_samples),
        mixture=None if mixture is None else evidence.fit.rivals[mixture["name"]],
        compared=judged.compared,
        quality=quality,
        drift=judged.drift or [],
        predicted=judged.predicted,
    )
    numbers = as_json(
        {
            "format": 1,
            "kind": "conditional" if model.conditional else "density",
            "verdict": {"fit": quality.verdict.to_json(), "numerics": checks.verdict.to_json()},
            "summary": _summary(subject, judged, quality.verdict),
            "data": _data(subject, judged),
            "held_out": _scores(judged, evidence),
            "mixture": mixture,
            "members": [
                {"name": name, "weight_for_states": states, "weight_for_values": values}
                for name, states, values in model.members
            ],
            "model_notes": model.notes,
            "plan": [_planned(plan) for plan in subject.plans],
            "marginals": charted.marginals(),
            "shown_columns": [charted.views[place].name for place in charted.order],
            "pairs": charted.pairs(),
            "pairs_of": charted.pairs_of,
            "fit_quality": quality.to_json(),
            "measures": _measures(quality),
            "predictions": [each.to_json() for each in judged.predicted],
            "worst": judged.worst,
            "drift": None if judged.drift is None else [_drifted(change) for change in judged.drift],
            "drift_shown": [change.column for change in charted.drifted],
            "check": checks.to_json(),
            "run": {
                "estimator": subject.name,
                "parameters": {k: None if v is None else str(v) for k, v in subject.parameters.items()},
                "seed": seed,
                "reported_with": versions(),
            },
        }
    )
    return Report(page("table.html", numbers, charts_of(charted), checks=checks.lines), numbers)


def _summary(subject: Subject, judged: JudgedRows, verdict: Verdict) -> str:
    rows = len(judged.rows.rows)
    which = "held-out rows of the fit" if judged.drift is None else f"rows of {subject.data}"
    text = f"The model was judged on {rows:,} {which}."
    if judged.drift is None:
        return text
    drifted = sum(change.significant for change in judged.drift)
    if not drifted:
        return f"{text} No column drifted: none of {len(judged.drift):,} differs from training beyond chance."
    return f"{text} {drifted:,} of {len(judged.drift):,} columns drifted from training beyond chance."


def _data(subject: Subject, judged: JudgedRows) -> dict[str, Any]:
    return {
        "name": subject.data,
        "rows": judged.total,
        "scored": len(judged.rows.rows),
        "new": judged.drift is not None,
        "problems": judged.problems,
        "notes": subject.notes,
    }


def _scores(judged: JudgedRows, evidence: TableEvidence) -> dict[str, Any]:
    """Mean scores of the rows that have a density, with standard errors, and those of training rows."""
    weights = np.asarray(judged.rows.weights.numpy())
    train = judged.train_scores
    possible = judged.scores.discrete.isfinite().numpy()
    described: dict[str, Any] = {"zero_density": int((~possible).sum())}
    parts = {"total": judged.scores.total, **judged.scores._asdict()}
    for name, values in parts.items():
        described[name] = _mean(values.numpy()[possible], weights[possible]).to_json()
    if train is not None and judged.train is not None:
        of_train = {"total": train.total, **train._asdict()}
        described["train"] = {name: summarise(values.numpy()).to_json() for name, values in of_train.items()}
    return described


def _mean(values: Array, weights: Array) -> Summary:
    summary = RunningSummary()
    summary.add(values, weights)
    return summary.summary()


def _mixture(evidence: TableEvidence) -> dict[str, Any] | None:
    """The mean difference to the mixture of the blend, row by row."""
    for name, values in evidence.fit.rivals.items():
        with np.errstate(invalid="ignore"):
            difference = evidence.fit.log_held_out - values
        difference = difference[np.isfinite(difference)]
        # A model that is its mixture has nothing to compare.
        if np.abs(difference).max(initial=0.0) > _SAME:
            better = float((difference > 0).mean())
            return {"name": name, "difference": summarise(difference).to_json(), "better": better}
    return None


def _measures(quality: FitQuality) -> list[dict[str, Any]]:
    return [
        {
            "name": finding.measure.replace("_", " "),
            "meaning": MEANINGS.get(finding.measure, ""),
            "state": str(finding.state(quality.level)),
            "within_chance": finding.p_value > quality.level and finding.size >= finding.care,
            "size": finding.size,
            "care": finding.care,
            "p_value": finding.p_value,
            "reason": finding.reason,
        }
        for finding in quality.findings
    ]


def _planned(plan: ColumnPlan) -> list[dict[str, Any]]:
    return [
        {
            "name": column.name,
            "modelled": column.modelled,
            "kind": column.kind.label,
            "treatment": column.treatment,
            "reason": column.reason,
        }
        for column in plan.columns
    ]


def _drifted(change: Drift) -> dict[str, Any]:
    return {
        "column": change.column,
        "size": change.size,
        "p": change.p,
        "before": change.before,
        "after": change.after,
        "significant": change.significant,
    }


def _of_equal_weight(evidence: TableEvidence, seed: int) -> tuple[EncodedRows, EncodedRows]:
    """Held-out rows drawn in proportion to their weights, and samples; of a conditional model, those of the same rows.

    Rows of density zero have no content that a chart could show.
    """
    weights, rng = evidence.fit.weights, np.random.default_rng(seed)
    rows = np.arange(len(evidence.held_out))
    if weights is not None:
        rows = systematic(weights, count_of_independent(weights), rng)
    rows = rows[~evidence.held_out.impossible.numpy()[rows]]
    chosen = torch.from_numpy(rows)
    samples = evidence.samples if evidence.fit.context is None else evidence.samples.take(chosen)
    return evidence.held_out.take(chosen), samples
