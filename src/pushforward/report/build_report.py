"""Putting a report together: what is measured, in which order, and the page and the numbers that come of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from pushforward.data import DataSet, Split, split
from pushforward.data.toys import TOYS
from pushforward.errors import DataError
from pushforward.evaluation.calibration import LEVELS, coverage, latent_fit, marginal_pit
from pushforward.evaluation.fit_baselines import fit_baselines
from pushforward.evaluation.latent_edits import Attribute, attribute_direction
from pushforward.evaluation.samples import clamping, draw
from pushforward.evaluation.scores import latents, score
from pushforward.flow import Flow
from pushforward.report import report_json as said
from pushforward.report.page import Findings, render
from pushforward.rows import Rows, rows_of
from pushforward.units import unit_of

if TYPE_CHECKING:
    from pushforward.diagnostics import CheckReport
    from pushforward.storage import SavedModel

_MAX_ROWS = 10_000
_TRAIN_ROWS = 1000
_LATENT_VALUES = 4_000_000
_ATTRIBUTE_ROWS = 500


def make_report(
    model: SavedModel,
    data: DataSet,
    *,
    history: Sequence[dict[str, Any]] | None = None,
    seed: int = 0,
    check: CheckReport | None = None,
    progress: Callable[[str], None] | None = None,
    max_rows: int = _MAX_ROWS,
) -> tuple[str, dict[str, Any]]:
    """The report of a model on ``data``: a self-contained HTML page, and every number of it as JSON values.

    Rows are held out as the model's split says where ``data`` are those it was trained on, and by a new split drawn
    with ``seed`` otherwise. history: entries of ``metrics.jsonl``. check: what `pushforward.check` found; run here
    where it is None. progress: told what is being done. max_rows: of the held-out rows, at most so many are scored.
    Raises DataError, ShapeError where data and model do not fit.
    """
    tell = progress or (lambda step: None)
    flow = model.flow
    parts, sizes, notes = _parts(model, data, seed, max_rows)
    held_out, table = parts["test"], data.kind == "table"

    tell(f"scoring {len(held_out)} held-out rows")
    scores = score(flow, held_out, seed)
    on_train = score(flow, parts["train"].first(_TRAIN_ROWS), seed)
    tell("fitting the baselines")
    toy = data.name if data.name in TOYS and data.columns == ("x", "y") and data.context is None else None
    others = fit_baselines(flow, parts, seed, toy)
    tell("comparing the latents with the base")
    rows = max(1, min(2000, _LATENT_VALUES // math.prod(flow.event_shape)))
    fit = latent_fit(flow.base, latents(flow, held_out.first(rows), seed), seed)
    tell("drawing samples")
    clamped = clamping(flow, held_out, seed)
    samples, beside = draw(flow, 4000 if table else 64, held_out, seed)
    pits = marginal_pit(flow, held_out, seed) if table else None
    covered = coverage(flow, held_out, seed, log_densities=scores.nats) if table else None
    attribute = None
    if not table and flow.context_shape is None and data.labels is not None:
        tell("looking for the direction of an attribute")
        attribute = _attribute(flow, parts, seed)
    if check is None:
        from pushforward.diagnostics import check as run_check

        tell("checking the numerics")
        check = run_check(flow, *held_out.first(256).on(flow), seed=seed)

    found: dict[str, Any] = {
        "format": 1,
        "data": said.about_data(data, sizes, len(held_out), notes),
        "likelihood": said.likelihoods(scores, on_train, others, unit_of(flow), math.prod(flow.event_shape)),
        "training": {"history": list(history or ())},
        "samples": {"drawn": len(samples), "not_finite": said.not_finite(samples)},
        "clamped": None if clamped is None else asdict(clamped),
        "latents": None if fit is None else said.about_latents(fit),
        "columns": said.about_columns(data.columns or (), held_out, samples, pits) if table else None,
        "coverage": covered and {f"{level:g}": share for level, share in zip(LEVELS, covered, strict=True)},
        "attribute": None if attribute is None else attribute.classes,
        "check": check.to_json(),
        "run": said.about_run(model, seed),
    }
    found["state"], found["verdict"] = said.verdict(found, check.passed)
    found = said.plain(found)
    tell("drawing the page")
    return render(Findings(flow, data, parts, fit, samples, beside, pits, seed, attribute), check.lines, found), found


def _attribute(flow: Flow, parts: dict[str, Rows], seed: int) -> Attribute | None:
    """From the most frequent class to the one after it, by training rows; None where there are no two classes."""
    held_out, train = parts["test"], parts["train"]
    if held_out.labels is None or train.labels is None:
        return None
    classes, counts = np.unique(train.labels.numpy(), return_counts=True)
    classes = classes[np.argsort(-counts, kind="stable")][:2]
    if len(classes) < 2:
        return None
    examples = held_out.take(np.flatnonzero(held_out.labels.numpy() == classes[0])[:4])
    if not len(examples):
        return None
    without, having = (train.take(np.flatnonzero(train.labels.numpy() == label)[:_ATTRIBUTE_ROWS]) for label in classes)
    direction = attribute_direction(flow, having, without, seed)
    return Attribute(examples, direction, (int(classes[0]), int(classes[1])))


def _parts(
    model: SavedModel, data: DataSet, seed: int, max_rows: int
) -> tuple[dict[str, Rows], dict[str, int], list[str]]:
    """Training, validation and held-out rows with the flow's context, their sizes, and what is to be said of them."""
    trained_on, notes = model.config.data, []
    same = trained_on is None or trained_on.fingerprint == data.fingerprint
    if model.split is not None and same and _fits(model.split, len(data)):
        chosen = model.split
    elif trained_on is not None and not same:
        chosen = split(data, seed)
        notes.append(
            f"these are not the data that the model was trained on ({trained_on.name}): the baselines are fitted to "
            "these, the flow is not"
        )
    else:
        chosen = split(data, seed)
        notes.append(
            f"no split was saved with the model: rows were divided by seed {seed}, and may have been trained on"
        )
    test = chosen.test
    if len(test) > max_rows:
        test = np.sort(np.random.default_rng(seed).permutation(test)[:max_rows])
        notes.append(f"{max_rows} of {len(chosen.test)} held-out rows were scored, drawn by seed {seed}")
    rows = {"train": chosen.train, "validation": chosen.validation, "test": test}
    for name, part in rows.items():
        if len(part) == 0:
            raise DataError(f"{data.name}: the split has no {name} rows, and a report needs some")
    sizes = {name: len(getattr(chosen, name)) for name in rows}
    return {name: rows_of(model.flow, data, part) for name, part in rows.items()}, sizes, notes


def _fits(chosen: Split, rows: int) -> bool:
    return max(int(part.max(initial=-1)) for part in (chosen.train, chosen.validation, chosen.test)) < rows
