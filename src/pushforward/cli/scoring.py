"""The job of `pushforward score`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pushforward.cli.output import TABLES, require_output, write_table
from pushforward.cli.parameters import Running
from pushforward.cli.reading import read_for
from pushforward.cli.waiting import counted, tell
from pushforward.data import DataSet
from pushforward.errors import DataError, OptionError
from pushforward.report.evaluation import in_unit, part_of, summarise, tensors, unit_of
from pushforward.storage import SavedModel, load_model

Array = np.ndarray[Any, Any]


def run_score(
    path: Path,
    name: str,
    *,
    out: Path | None,
    unit: Any,
    samples: int,
    part: str,
    columns: Sequence[str] | None,
    context: Sequence[str] | None,
    data_dir: Path | None,
    force: bool,
    running: Running,
) -> None:
    """Score and write; see `pushforward.cli.score.score`."""
    require_output(out, TABLES, force)
    if samples < 1:
        raise OptionError(f"samples must be at least 1, got {samples}")
    model = load_model(path, running.start())
    data = read_for(model, name, data_dir=data_dir, columns=columns, context=context, as_fitted=part != "all")
    rows = _rows(model, data, part)
    nats, errors = likelihoods(model, data, rows, samples, running.chosen_seed)
    unit = unit or unit_of(model.flow)
    dimensions = math.prod(model.flow.event_shape)
    values = in_unit(nats, unit, dimensions)
    table = {
        "row": rows,
        "value": values,
        "unit": np.full(len(rows), unit),
        "kind": np.full(len(rows), model.flow.kind),
    }
    if model.flow.transform.estimator is not None:
        table["estimator"] = np.full(len(rows), model.flow.transform.estimator)
    if model.flow.dequantisation is not None:
        table["dequantisation"] = np.full(len(rows), model.flow.dequantisation)
    if errors is not None:
        table["standard_error"] = np.abs(in_unit(errors, unit, dimensions))
    write_table(table, out)
    _tell_mean(values, unit, model.flow.kind_in_words)


def likelihoods(model: SavedModel, data: DataSet, rows: Array, samples: int, seed: int) -> tuple[Array, Array | None]:
    """Log-likelihoods (N,) in nats, and their standard errors where ``samples`` draws were averaged.

    Noise is keyed by a row's place among ``rows``, as in a report: the mean over the test part is the report's.
    """
    flow, values, errors = model.flow, [np.zeros(0)], []
    part = part_of(flow, data, rows)
    with counted("scoring", len(part)) as advance:
        for start, x, context in tensors(flow, part):
            found = flow.likelihood(x, context, samples=samples, seed=seed, first_row=start)
            values.append(found.value.double().cpu().numpy())
            if found.standard_error is not None:
                errors.append(found.standard_error.double().cpu().numpy())
            advance(len(x))
    return np.concatenate(values), np.concatenate(errors) if errors else None


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
