"""The numbers of a report as JSON values; the page is generated from them."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import numpy as np

from pushforward.array_types import Array
from pushforward.evaluation.calibration import LatentFit, kolmogorov, kolmogorov_band
from pushforward.events import Shape
from pushforward.flow import Flow
from pushforward.reports.report_data import DataFacts
from pushforward.rows import Rows
from pushforward.version import __version__

_PACKAGES = ("torch", "numpy", "scikit-learn", "matplotlib")


def describe_data(
    facts: DataFacts, event_shape: Shape, sizes: dict[str, int], scored: int, notes: Sequence[str]
) -> dict[str, Any]:
    """The data, their split, and the number of scored held-out rows."""
    return {
        "name": facts.name,
        "kind": facts.kind,
        "source": facts.source,
        "rows": facts.rows,
        "event_shape": event_shape,
        "levels": facts.levels,
        "columns": facts.columns,
        "context_columns": facts.context_columns,
        "fingerprint": facts.fingerprint,
        "split": sizes,
        "scored": scored,
        "notes": notes,
    }


def describe_latents(fit: LatentFit) -> dict[str, Any]:
    """Distances of held-out latents from the base, for every coordinate and for the squared norm."""
    worst = int(fit.distances.argmax())
    return {
        "base": fit.name,
        "base_by": "formula" if fit.exact else "draws",
        "rows": fit.rows,
        "rows_not_finite": fit.dropped,
        "dimensions": len(fit.distances),
        "shown": fit.shown,
        "mean": fit.means,
        "standard_deviation": fit.deviations,
        "distance": fit.distances,
        "worst": {"dimension": worst, "distance": fit.distances[worst]},
        "beyond_chance": int((fit.distances > kolmogorov_band(fit.rows)).sum()),
        "band": kolmogorov_band(fit.rows),
        "squared_norm": {
            "levels": fit.levels,
            "expected": fit.norm_expected,
            "found": fit.norm_observed,
            "distance": fit.norm_distance,
        },
    }


def describe_columns(names: Sequence[str], rows: Rows, samples: Array, pits: Array | None) -> list[dict[str, Any]]:
    """For each column: moments of held-out rows and of samples, and the distance of the PIT from uniform."""
    x, y = rows.values(), samples.reshape(len(samples), -1)
    described = []
    for i, name in enumerate(names):
        data, drawn = x[:, i], y[:, i]
        drawn = drawn[np.isfinite(drawn)]
        described.append(
            {
                "name": name,
                "data": {"mean": data.mean(), "standard_deviation": data.std()},
                "samples": {"mean": drawn.mean(), "standard_deviation": drawn.std()} if len(drawn) else None,
                "pit_distance": None if pits is None else kolmogorov(pits[:, i]),
                "pit_band": None if pits is None else kolmogorov_band(len(pits)),
            }
        )
    return described


def count_not_finite(samples: Array) -> int:
    """The number of samples with a value that is not finite."""
    return int((~np.isfinite(samples.reshape(len(samples), -1))).any(1).sum())


def describe_run(flow: Flow, run: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """The architecture, ``run`` (facts about the training), the seed and the versions of the report."""
    config = flow.config
    return {
        "flow": "flow" if config is None else config.name,
        "options": {} if config is None else config.options,
        "context_dim": math.prod(flow.context_shape or (0,)) if config is None else config.context_dim,
        "classes": 0 if flow.embedding is None else flow.embedding.num_embeddings,
        "structure": str(flow) if config is None else None,
        "parameters": sum(p.numel() for p in flow.parameters()),
        "dtype": str(flow.dtype).removeprefix("torch."),
        "training": {},
        "trained_with": {},
        "trained_on": None,
        **run,
        "seed": seed,
        "reported_with": versions(),
    }


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that make a report."""
    packages = {name: metadata.version(name) for name in _PACKAGES}
    return {"pushforward": __version__, "python": platform.python_version(), **packages}


def as_json(value: Any) -> Any:
    """``value`` as JSON types: lists, numbers and strings; a non-finite number becomes None."""
    if isinstance(value, Mapping):
        return {str(key): as_json(part) for key, part in value.items()}
    if isinstance(value, np.ndarray):
        return as_json(value.tolist())
    if isinstance(value, list | tuple):
        return [as_json(part) for part in value]
    if isinstance(value, np.generic):
        return as_json(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
