"""Held-out likelihoods and the report, for `fit` and `report`."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

from pushforward import storage
from pushforward.atomic_files import require_place
from pushforward.cli.progress import tell
from pushforward.data import DataSet
from pushforward.diagnostics import check
from pushforward.evaluation.baselines import gaussian
from pushforward.evaluation.fit_baselines import baseline_views
from pushforward.evaluation.fit_quality import assess_fit
from pushforward.evaluation.flow_evidence import ScoredRows, best_step_of, flow_evidence
from pushforward.evaluation.likelihood_comparison import compare_likelihoods
from pushforward.evaluation.samples import draw
from pushforward.evaluation.scores import remark_on_few, score
from pushforward.reports import Report, report_saved_model
from pushforward.reports.report_json import as_json
from pushforward.rows import rows_of
from pushforward.storage import SavedModel
from pushforward.units import better, unit_of

OF_FIT = "report.html"
_BASELINE_ROWS, _LONGEST_NAME = 10_000, 80


def save_report(model: SavedModel, data: DataSet, *, seed: int, out: Path | None = None) -> tuple[dict[str, Any], Path]:
    """Make the report and write it to ``out``, or with the model: its numbers, and the path of the page.

    Data other than those of the fit get a page of their own beside that of the fit.
    """
    report = report_saved_model(
        model, data, history=read_history(model.path), seed=seed, progress=lambda step: tell(f"report: {step}")
    )
    trained_on = model.config.data
    same = trained_on is None or trained_on.fingerprint == data.fingerprint
    name = OF_FIT if same else name_for(data.name)
    return report.numbers, place_report(report, model.path, name, out)


def name_for(data: str) -> str:
    """The name of the page on data other than those of the fit, beside the report of the fit.

    >>> name_for("prices/new rows.csv")
    'report-new_rows.html'
    """
    return f"report-{re.sub(r'[^A-Za-z0-9._-]', '_', Path(data).stem)[:_LONGEST_NAME]}.html"


def page_at(out: Path) -> Path:
    """The page that ``--out`` names: a file ending in .html, or report.html in a folder.

    Raises OptionError or PermissionError where it cannot be written.
    """
    page = out if out.suffix.lower() == ".html" and not out.is_dir() else out / OF_FIT
    require_place(page)
    return page


def place_report(report: Report, model: Path, name: str, out: Path | None) -> Path:
    """Write the page and the numbers to ``out``, or to the folder of the model as ``name``; the path of the page."""
    if out is not None:
        page = page_at(out)
        report.save(page)
        return page
    for each, content in report.files(name).items():
        storage.add_file(model, each, content)
    return model / name


def read_history(path: Path) -> list[dict[str, Any]] | None:
    """The entries of a model's `metrics.jsonl`, None where there is none."""
    metrics = path / "metrics.jsonl"
    if not metrics.exists():
        return None
    return [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines() if line.strip()]


def score_held_out(model: SavedModel, data: DataSet, *, seed: int) -> dict[str, Any]:
    """The test likelihoods of the model and of a full-covariance Gaussian, and the verdicts, as in a report."""
    flow, rows = model.flow, model.split
    assert rows is not None  # a model that was just fitted has one
    parts = {name: rows_of(flow, data, part).sample(_BASELINE_ROWS, seed) for name, part in rows.parts.items()}
    scores = score(flow, parts["test"], seed)
    on_train = score(flow, parts["train"].sample(1000, seed), seed)
    baseline = gaussian(baseline_views(flow, parts, seed))
    likelihood = compare_likelihoods(scores, on_train, [baseline], unit_of(flow), math.prod(flow.event_shape))
    samples = draw(flow, 4000, parts["test"], seed)[0] if data.kind == "table" else None
    scored = ScoredRows(parts["train"], parts["test"], on_train, scores, [baseline])
    step = best_step_of(model.config.training)
    evidence = flow_evidence(flow, scored, samples, seed, columns=data.columns, best_step=step)
    checked, contexts = parts["test"].sample(256, seed).on(flow)
    numerics = check(flow, checked, context=contexts, seed=seed).verdict
    verdicts = {"fit": assess_fit(evidence, seed).verdict.to_json(), "numerics": numerics.to_json()}
    return dict(as_json({"likelihood": likelihood, "verdict": verdicts}))


def print_conclusion(numbers: dict[str, Any]) -> None:
    """Print the held-out likelihood and the verdicts of a report."""
    print_held_out(numbers["likelihood"])
    print_verdicts(numbers["verdict"])


def print_verdicts(verdicts: dict[str, Any]) -> None:
    """Print the verdict on each subject, and its reasons."""
    for subject, verdict in verdicts.items():
        print(f"{subject}: {verdict['state']}")
        for reason in verdict["reasons"]:
            print(f"  - {reason}")


def print_held_out(likelihood: dict[str, Any]) -> None:
    """Print the held-out likelihood with its kind and standard error, and the baselines with the paired differences."""
    unit, rows = likelihood["unit"], likelihood["value"]["rows"]
    print(f"held-out ({rows:,} test rows): {_with_error(likelihood['value'])} {unit} ({likelihood['kind_in_words']})")
    if likelihood["zero_density"]:
        print(f"  {likelihood['zero_density']:,} of them have a density of 0")
    for other in likelihood["baselines"]:
        difference = other["difference"]
        print(f"  {other['name']}: {_with_error(other['value'])}; the flow's minus this: {_with_error(difference)}")
    if remark := remark_on_few(rows, "rows"):
        print(f"  note: {remark}")
    print(f"  ({better(unit)} is better)")


def _with_error(value: dict[str, Any]) -> str:
    if value["mean"] is None:
        return "not finite"
    error = value["standard_error"]
    return f"{value['mean']:.4f}" + ("" if error is None else f" +- {error:.4f}")
