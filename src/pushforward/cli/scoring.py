"""Scoring for `pushforward score`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pushforward.array_types import Array
from pushforward.cli.output import TABLES, require_output, write_table
from pushforward.cli.parameters import DataSource, Running
from pushforward.cli.progress import show_progress, tell
from pushforward.cli.reading import read_for
from pushforward.data import DataSet
from pushforward.domain_values import find_outside
from pushforward.errors import DataError, OptionError
from pushforward.evaluation.scores import remark_on_few, summarise
from pushforward.rows import row_likelihoods, rows_of
from pushforward.storage import SavedModel, load_model
from pushforward.units import in_unit, unit_of


def run_score(
    path: Path,
    name: str,
    source: DataSource,
    *,
    out: Path | None,
    unit: Any,
    samples: int,
    probes: int | None,
    part: str,
    force: bool,
    running: Running,
) -> None:
    """Score and write; see `pushforward.cli.score.score`."""
    require_output(out, TABLES, force)
    for option, number in (("samples", samples), ("probes", probes)):
        if number is not None and number < 1:
            raise OptionError(f"{option} must be at least 1, got {number}")
    model = load_model(path, running.start())
    data = read_for(model, name, source, as_fitted=part != "all")
    rows = _rows(model, data, part)
    # Noise is keyed by the index among these rows, as in a report, so that the test mean equals that of the report.
    with show_progress("scoring", len(rows)) as advance:
        likelihood = row_likelihoods(
            model.flow,
            rows_of(model.flow, data, rows),
            running.chosen_seed,
            samples=samples,
            probes=probes,
            advance=advance,
        )
    if max(samples, probes or 1) > 1 and likelihood.standard_error is None:
        tell(f"note: --samples and --probes are ignored: this likelihood is {likelihood.in_words}, of one pass")
    unit = unit or unit_of(model.flow)
    dimensions = math.prod(model.flow.event_shape)
    values = in_unit(likelihood.value.numpy(), unit, dimensions)
    # Each row has the facts of the model, so that scores of several models can share one table.
    facts: dict[str, object] = {"unit": unit, "kind": likelihood.kind}
    if likelihood.kind != "exact":
        facts |= {"in_words": likelihood.in_words, "samples": likelihood.samples, "probes": likelihood.probes}
    if model.flow.dequantisation is not None:
        facts["dequantisation"] = model.flow.dequantisation
    table = {"row": rows, "value": values, **{name: np.full(len(rows), value) for name, value in facts.items()}}
    if likelihood.standard_error is not None:
        table["standard_error"] = np.abs(in_unit(likelihood.standard_error.numpy(), unit, dimensions))
    write_table(table, out)
    draws = f", k = {likelihood.samples:,}" if likelihood.samples > 1 else ""
    _tell_mean(values, unit, likelihood.in_words + draws)
    averaged = likelihood.samples if likelihood.samples > 1 else likelihood.probes
    if likelihood.standard_error is not None and (remark := remark_on_few(averaged, "draws")):
        tell(f"note: in each row, {remark}; score with more --samples")
    if not np.isfinite(values).all():
        _tell_outside(model, data, rows)


def _rows(model: SavedModel, data: DataSet, part: str) -> Array:
    if part == "all":
        return np.arange(len(data))
    config = model.config.data
    if model.split is None or config is None:
        raise OptionError(f"part {part}: no split was saved with this model; score all rows")
    if config.fingerprint != data.fingerprint:
        raise DataError(f"part {part}: {data.name} are not the data that this model was fitted to; score all rows")
    return model.split.parts[part]


def _tell_outside(model: SavedModel, data: DataSet, rows: Array) -> None:
    outside = find_outside(model.flow.transform.domain, torch.from_numpy(data.x[rows]))
    if outside is not None:
        tell(f"note: {outside.sentence(data.where(int(rows[outside.row])), data.columns)}")


def _tell_mean(values: Array, unit: str, kind: str) -> None:
    mean = summarise(values)
    if mean.mean is None:
        broken = int((~np.isfinite(values)).sum())
        tell(f"{len(values):,} rows; {broken:,} of them have no finite value, so the mean is not finite")
        return
    error = "" if mean.standard_error is None else f" +- {mean.standard_error:.4f}"
    tell(f"{len(values):,} rows: mean {mean.mean:.4f}{error} {unit} ({kind})")
    if remark := remark_on_few(mean.rows, "rows"):
        tell(f"note: {remark}")
