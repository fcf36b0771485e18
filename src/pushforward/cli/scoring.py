"""The job of `pushforward score`."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pushforward.array_types import Array
from pushforward.cli.output import TABLES, require_output, write_table
from pushforward.cli.parameters import DataSource, Running
from pushforward.cli.progress import counted, tell
from pushforward.cli.reading import read_for
from pushforward.data import DataSet
from pushforward.errors import DataError, OptionError
from pushforward.evaluation.scores import part_of, summarise, tensors
from pushforward.likelihood import Likelihood
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
    for said, number in (("samples", samples), ("probes", probes)):
        if number is not None and number < 1:
            raise OptionError(f"{said} must be at least 1, got {number}")
    model = load_model(path, running.start())
    data = read_for(model, name, source, as_fitted=part != "all")
    rows = _rows(model, data, part)
    found = likelihoods(model, data, rows, samples, probes, running.chosen_seed)
    if max(samples, probes or 1) > 1 and found.standard_error is None:
        tell(f"note: --samples and --probes change nothing: the likelihood is {found.in_words}, of one pass")
    unit = unit or unit_of(model.flow)
    dimensions = math.prod(model.flow.event_shape)
    values = in_unit(found.value.double().cpu().numpy(), unit, dimensions)
    # What is the same of all rows stands in each: rows of several models may come to lie in one table.
    same: dict[str, object] = {"unit": unit, "kind": found.kind}
    if found.kind != "exact":
        same |= {"in_words": found.in_words, "samples": found.samples, "probes": found.probes}
    if model.flow.dequantisation is not None:
        same["dequantisation"] = model.flow.dequantisation
    table = {"row": rows, "value": values, **{name: np.full(len(rows), value) for name, value in same.items()}}
    if found.standard_error is not None:
        table["standard_error"] = np.abs(in_unit(found.standard_error.double().cpu().numpy(), unit, dimensions))
    write_table(table, out)
    _tell_mean(values, unit, f"{found.in_words}{f', k = {found.samples:,}' if found.samples > 1 else ''}")


def likelihoods(
    model: SavedModel, data: DataSet, rows: Array, samples: int, probes: int | None, seed: int
) -> Likelihood:
    """Log-likelihoods in nats, of ``rows``.

    Noise is keyed by a row's place among ``rows``, as in a report: the mean over the test part is the report's.
    """
    flow, parts = model.flow, []
    part = part_of(flow, data, rows)
    with counted("scoring", len(part)) as advance:
        for start, x, context in tensors(flow, part):
            parts.append(flow.likelihood(x, context, samples=samples, seed=seed, first_row=start, probes=probes))
            advance(len(x))
    errors = [found.standard_error for found in parts if found.standard_error is not None]
    whole = torch.cat([found.value for found in parts])
    return replace(parts[0], value=whole, standard_error=torch.cat(errors) if errors else None)


def _rows(model: SavedModel, data: DataSet, part: str) -> Array:
    if part == "all":
        return np.arange(len(data))
    config = model.config.data
    if model.split is None or config is None:
        raise OptionError(f"part {part}: no split was saved with this model; score all rows")
    if config.fingerprint != data.fingerprint:
        raise DataError(f"part {part}: {data.name} are not the data that this model was fitted to; score all rows")
    return np.asarray(getattr(model.split, part))


def _tell_mean(values: Array, unit: str, kind: str) -> None:
    mean = summarise(values)
    if mean.mean is None:
        broken = int((~np.isfinite(values)).sum())
        tell(f"{len(values):,} rows; {broken:,} of them have no finite value, so the mean is not one either")
        return
    error = "" if mean.standard_error is None else f" +- {mean.standard_error:.4f}"
    tell(f"{len(values):,} rows: mean {mean.mean:.4f}{error} {unit} ({kind})")
