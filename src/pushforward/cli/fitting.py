"""The steps of `pushforward fit`: read and split the data, build, train and save the model, make the report."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pushforward import flows, storage
from pushforward.cli.defaults import default_flow, defaults
from pushforward.cli.progress import tell
from pushforward.cli.reading import tell_columns, wrap_periods
from pushforward.cli.reporting import print_conclusion, save_report, score_held_out
from pushforward.cli.run_file import LIMITS, Run, as_field_values
from pushforward.data import DataSet, Split, load, split
from pushforward.flow import Flow
from pushforward.row_domain import require_inside
from pushforward.rows import rows_of
from pushforward.storage.files import clear, require_free
from pushforward.training import FitFailed, FitResult, TrainingOptions, fit

# During training the best model so far is saved at most this many seconds late, in case the run is killed.
_SAVE_EVERY = 30.0


@dataclass
class _Job:
    """The state of a `fit` command: options, data, split and flow."""

    run: Run
    out: Path
    data: DataSet
    parts: Split
    flow: Flow
    options: TrainingOptions
    saved: float = -math.inf

    def save(self, training: dict[str, Any]) -> None:
        options = self.options.model_dump(mode="json")
        storage.save(
            self.flow,
            self.out,
            split=self.parts,
            data=_describe(self.run, self.data),
            training={"options": options, "seed": self.run.running.chosen_seed, **training},
            force=True,
        )
        self.saved = time.monotonic()

    def keep(self, flow: Flow, step: int, value: float) -> None:
        """Save the best model so far, not too often, so that a killed run leaves a complete model."""
        if time.monotonic() - self.saved >= _SAVE_EVERY:
            self.save({"unfinished": True, "best_step": step, "best_validation_nats": _number(value)})


def run_fit(run: Run) -> int:
    """Run a fit with the options ``run``; returns the exit code. Most errors are raised before files are written."""
    _, out = run.required()
    require_free(out, run.force)
    job = _prepare(run, run.running.start())
    out.mkdir(parents=True, exist_ok=True)
    clear(out)
    failure = None
    try:
        result = _train(job)
    except FitFailed as error:
        failure, result = error, error.result
        if result.best_step == 0:
            raise
        tell(f"note: {error}; the best weights, of step {result.best_step:,}, are saved")
    if result.stopped_by == "interrupted" and result.best_step == 0:
        raise KeyboardInterrupt
    job.save(_summary(result))
    metrics = out / "metrics.jsonl"
    if metrics.exists():
        storage.add_file(out, metrics.name, metrics.read_bytes())
    _conclude(job, result)
    return 0 if failure is None else failure.exit_code


def _prepare(run: Run, device: torch.device) -> _Job:
    (source, out), seed = run.required(), run.running.chosen_seed
    data = load(source, run.preparation, data_dir=run.data_dir, seed=seed)
    tell_columns(data)
    parts = split(data, seed)
    kind = "images" if data.kind == "image" else "rows"
    levels = "" if data.levels is None else f", {data.levels} levels"
    tell(
        f"{data.name}: {len(data):,} {kind} of {' x '.join(map(str, data.event_shape))}{levels}; {len(parts.train):,} "
        f"to train, {len(parts.validation):,} to validate, {len(parts.test):,} to test"
    )
    name = run.flow or default_flow(data)
    model, training = defaults(data, name)
    if any(name in run.training_options for name in LIMITS):
        training = {name: value for name, value in training.items() if name not in LIMITS}
    options = TrainingOptions.checked({**training, **run.training_options})
    architecture = flows.describe(name)
    fields = architecture.recipe(data.event_shape).options.model_fields
    chosen = architecture.validated(data.event_shape, {**model, **as_field_values(run.option, fields, data.columns)})
    flow = flows.build(name, data.event_shape, **_context(run, data), options=chosen)
    storage.require_savable(flow)
    if data.kind == "table":
        data = wrap_periods(flow, data)
        require_inside(flow, rows_of(flow, data, np.arange(len(data))), data.where, data.columns)
    count = sum(p.numel() for p in flow.parameters())
    limits = {name: getattr(options, name) for name in LIMITS}
    until = ", ".join(f"{value:g} {name}" for name, value in limits.items() if value is not None)
    until = until or f"{options.epoch_limit:g} epochs"
    tell(f"{name}: {count:,} parameters on {device}; training for at most {until}")
    return _Job(run, out, data, parts, flow.to(device), options)


def _context(run: Run, data: DataSet) -> dict[str, int]:
    """The condition of the flow: class labels, a context vector, or none."""
    if run.preparation.labels and data.labels is not None:
        return {"classes": int(data.labels.max()) + 1}
    return {"context_dim": 0 if data.context is None else data.context.shape[1]}


def _train(job: _Job) -> FitResult:
    train, validation = (rows_of(job.flow, job.data, rows) for rows in (job.parts.train, job.parts.validation))
    return fit(
        job.flow,
        train.x,
        validation=validation.x,
        context=train.context,
        validation_context=validation.context,
        columns=job.data.columns,
        options=job.options,
        out=job.out,
        on_best=job.keep,
    )


def _conclude(job: _Job, result: FitResult) -> None:
    """Print the held-out likelihood of the model and the verdicts, and make the report, unless it is turned off."""
    model = storage.load_model(job.out, job.flow.device)
    print(f"saved {job.out} (best of step {result.best_step:,} of {result.steps:,}; ended by {result.stopped_by})")
    try:
        if job.run.report is not False:
            numbers, page = save_report(model, job.data, seed=job.run.running.chosen_seed)
            print_conclusion(numbers)
            print(f"report: {page}")
        else:
            print_conclusion(score_held_out(model, job.data, seed=job.run.running.chosen_seed))
    except KeyboardInterrupt:
        tell(
            f"interrupted: the model is saved, without a report; `pushforward report {job.out} {job.run.data}` makes it"
        )


def _describe(run: Run, data: DataSet) -> dict[str, Any]:
    return {
        "name": data.name,
        "kind": data.kind,
        "rows": len(data),
        "levels": data.levels,
        "columns": data.columns,
        "context_columns": data.context_columns,
        "left_out": data.left_out,
        "fingerprint": data.fingerprint,
        "source": data.source,
        "preparation": run.preparation,
        "seed": run.running.chosen_seed,
    }


def _summary(result: FitResult) -> dict[str, Any]:
    return {
        "best_validation_nats": _number(result.best_validation),
        "best_step": result.best_step,
        "steps": result.steps,
        "seconds": round(60 * result.minutes, 1),
        "stopped_by": result.stopped_by,
        "notes": list(result.notes),
    }


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None
