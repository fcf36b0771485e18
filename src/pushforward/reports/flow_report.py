"""The report of a flow: all measurements, then the page and the numbers."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from pushforward.data.splits import random_split
from pushforward.data_frames import column_names
from pushforward.diagnostics import CheckReport
from pushforward.diagnostics import check as run_check
from pushforward.domain_values import wrap
from pushforward.errors import DataError, OptionError
from pushforward.evaluation.calibration import LEVELS, latent_fit, marginal_pit, region_coverage
from pushforward.evaluation.fit_baselines import fit_baselines
from pushforward.evaluation.fit_quality import FitEvidence, assess_fit
from pushforward.evaluation.flow_evidence import ScoredRows, best_step_of, flow_evidence
from pushforward.evaluation.latent_edits import Attribute, attribute_direction
from pushforward.evaluation.likelihood_comparison import compare_likelihoods, comparison_in_words
from pushforward.evaluation.samples import clamping, draw
from pushforward.evaluation.scores import latents, score
from pushforward.evaluation.verdict import State, Verdict
from pushforward.flow import Flow
from pushforward.inputs import TensorLike, as_tensor
from pushforward.reports.flow_page import Measurements, render
from pushforward.reports.report_data import DataFacts, facts_of
from pushforward.reports.report_file import Report
from pushforward.reports.report_json import (
    as_json,
    count_not_finite,
    describe_columns,
    describe_data,
    describe_latents,
    describe_run,
)
from pushforward.rows import Rows
from pushforward.training.batches import checked_rows
from pushforward.units import unit_of

_MAX_ROWS = 10_000
_TRAIN_ROWS = 1000
_LATENT_VALUES = 4_000_000
_ATTRIBUTE_ROWS = 500


def report(
    flow: Flow,
    train: Rows | TensorLike,
    *,
    validation: Rows | TensorLike | None = None,
    test: Rows | TensorLike | None = None,
    context: TensorLike | None = None,
    validation_context: TensorLike | None = None,
    test_context: TensorLike | None = None,
    columns: Sequence[str] | None = None,
    data: str | DataFacts = "data",
    history: Sequence[dict[str, Any]] | None = None,
    run: Mapping[str, Any] | None = None,
    out: str | os.PathLike[str] | None = None,
    check: CheckReport | None = None,
    seed: int = 0,
    max_rows: int = _MAX_ROWS,
    progress: Callable[[str], None] | None = None,
) -> Report:
    """The report of ``flow`` on rows ``(N, *event_shape)``: likelihoods, baselines, calibration, samples, latents.

    train, validation: the baselines are fitted to and chosen on these; test: held-out rows, which are scored. Without
    validation and test rows, ``train`` is split 80/10/10 with ``seed``. context, validation_context, test_context: one
    row of context, or a label, for each row; `Rows` carry their own. columns: names of the D values of a row; None:
    those of a DataFrame. data: the name of the data. history: the rounds of a fit, `FitResult.history`, for the
    training curves. run: further facts about the training, for the page. out: file for the page, ending in ``.html``;
    the numbers go to the same folder (`Report.save`). check: the result of `pushforward.check`; None runs it. max_rows:
    the largest number of test rows to score. progress: called with the name of each step. Raises ShapeError,
    ContextError, DataError, OptionError.

    >>> import torch
    >>> from pushforward import flows
    >>> flow = flows.build("real_nvp", event_shape=(2,), transforms=2, hidden=(8,))
    >>> page = report(flow, torch.randn(100, 2))
    >>> page.numbers["likelihood"]["kind"], page.html[:15]
    ('exact', '<!doctype html>')
    """
    tell = progress or (lambda step: None)
    if (validation is None) != (test is None):
        raise OptionError(
            "validation and test rows must both be given, or neither; without them the training rows are split"
        )
    notes = []
    if validation is None or test is None:
        rows = _rows(flow, train, context, "training")
        parts = {name: rows.take(part) for name, part in random_split(len(rows), seed, "the data").parts.items()}
        notes.append(f"rows were split with seed {seed}, and may have been used in training")
    else:
        parts = {
            "train": _rows(flow, train, context, "training"),
            "validation": _rows(flow, validation, validation_context, "validation"),
            "test": _rows(flow, test, test_context, "test"),
        }
    columns = column_names(train) if columns is None else columns
    facts = facts_of(flow, parts, data, columns) if isinstance(data, str) else data
    sizes = {name: len(part) for name, part in parts.items()}
    for name, size in sizes.items():
        if size == 0:
            raise DataError(f"{facts.name}: the split has no {name} rows, but a report needs at least one")
    if sizes["test"] > max_rows:
        parts["test"] = parts["test"].sample(max_rows, seed)
        notes.append(f"{max_rows} of {sizes['test']} held-out rows were scored, drawn with seed {seed}")

    test_rows, table = parts["test"], facts.kind == "table"
    tell(f"scoring {len(test_rows)} held-out rows")
    scores = score(flow, test_rows, seed)
    # Data are often sorted: a random subset stands for all training rows.
    on_train = score(flow, parts["train"].sample(_TRAIN_ROWS, seed), seed)
    tell("fitting the baselines")
    baselines = fit_baselines(flow, parts, seed, facts.toy)
    likelihood = compare_likelihoods(scores, on_train, baselines, unit_of(flow), math.prod(flow.event_shape))
    tell("comparing the latents with the base")
    count = max(1, min(2000, _LATENT_VALUES // math.prod(flow.event_shape)))
    fit = latent_fit(flow.base, latents(flow, test_rows.sample(count, seed), seed), seed)
    tell("drawing samples")
    clamped = clamping(flow, test_rows, seed)
    samples, beside = draw(flow, 4000 if table else 64, test_rows, seed)
    pits = marginal_pit(flow, test_rows, seed) if table else None
    tell("judging the fit")
    scored = ScoredRows(parts["train"], test_rows, on_train, scores, baselines)
    step = best_step_of((run or {}).get("training", {}))
    evidence = flow_evidence(
        flow, scored, samples if table else None, seed, columns=facts.columns if table else None, best_step=step
    )
    quality = assess_fit(evidence, seed)
    covered = _coverage(flow, evidence)
    attribute = None
    if not table and flow.context_shape is None:
        tell("computing the direction of an attribute")
        attribute = _attribute(flow, parts, seed)
    if check is None:
        tell("checking the numerics")
        checked, contexts = test_rows.sample(256, seed).on(flow)
        check = run_check(flow, checked, context=contexts, seed=seed)
    numerics = _numerics(check, count_not_finite(samples), len(samples))
    numbers = as_json(
        {
            "format": 2,
            "verdict": {"fit": quality.verdict.to_json(), "numerics": numerics.to_json()},
            "summary": comparison_in_words(likelihood),
            "fit_quality": quality.to_json(),
            "data": describe_data(facts, flow.event_shape, sizes, len(test_rows), [*facts.notes, *notes]),
            "likelihood": likelihood,
            "training": {"history": list(history or ())},
            "samples": {"drawn": len(samples), "not_finite": count_not_finite(samples)},
            "clamped": None if clamped is None else asdict(clamped),
            "latents": None if fit is None else describe_latents(fit),
            "columns": describe_columns(facts.columns or (), test_rows, samples, pits) if table else None,
            "coverage": covered and {f"{level:g}": fraction for level, fraction in zip(LEVELS, covered, strict=True)},
            "attribute": None if attribute is None else attribute.classes,
            "check": check.to_json(),
            "run": describe_run(flow, run or {}, seed),
        }
    )
    tell("drawing the page")
    drawn = Measurements(flow, facts, parts, fit, samples, beside, pits, seed, attribute)
    report = Report(render(drawn, check.lines, numbers), numbers)
    if out is not None:
        report.save(out)
    return report


def _rows(flow: Flow, x: Rows | TensorLike, context: TensorLike | None, name: str) -> Rows:
    """Validated rows on the CPU in their original dtype, for the baselines; raises if they do not match the flow."""
    if isinstance(x, Rows):
        return x
    checked_rows(flow, x, context, name, zero_density=True)
    contexts = None if context is None else as_tensor(context, name).detach().cpu()
    return Rows(wrap(flow.transform.domain, as_tensor(x, name).detach().cpu()), contexts)


def _coverage(flow: Flow, evidence: FitEvidence) -> tuple[float, ...] | None:
    """The coverage of regions of highest density; None for a conditional flow, a bound, an estimate, or undefined
    log-densities."""
    held_out, drawn = evidence.log_held_out, evidence.log_samples
    if flow.kind != "exact" or flow.context_shape is not None or drawn is None or np.isnan(held_out).any():
        return None
    return region_coverage(held_out, drawn)


def _numerics(check: CheckReport, not_finite: int, drawn: int) -> Verdict:
    """The verdict on the numerics, of the check and of samples that are not finite."""
    if not not_finite:
        return check.verdict
    return check.verdict.against(State.REFUSE, f"{not_finite:,} of {drawn:,} samples are not finite")


def _attribute(flow: Flow, parts: dict[str, Rows], seed: int) -> Attribute | None:
    """The attribute between the two most frequent classes of the training rows; None without two classes."""
    test, train = parts["test"], parts["train"]
    if test.labels is None or train.labels is None:
        return None
    classes, counts = np.unique(train.labels.numpy(), return_counts=True)
    classes = classes[np.argsort(-counts, kind="stable")][:2]
    examples = test.take(torch.nonzero(test.labels == int(classes[0])).flatten()).sample(4, seed)
    if len(classes) < 2 or not len(examples):
        return None
    lacking, having = (
        train.take(torch.nonzero(train.labels == int(label)).flatten()).sample(_ATTRIBUTE_ROWS, seed)
        for label in classes
    )
    direction = attribute_direction(flow, having, lacking, seed)
    return Attribute(examples, direction, (int(classes[0]), int(classes[1])))
