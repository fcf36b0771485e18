"""The numbers of a report, as JSON values: the twin that the page is written from."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np

from pushforward.array_types import Array
from pushforward.data.dataset import DataSet
from pushforward.evaluation.baselines import Baseline
from pushforward.evaluation.calibration import LatentFit, kolmogorov, kolmogorov_band
from pushforward.evaluation.scores import Scores, summarise
from pushforward.rows import Rows
from pushforward.units import Unit, in_unit
from pushforward.version import __version__

if TYPE_CHECKING:
    from pushforward.storage import SavedModel

_FEW_ROWS = 10
_PACKAGES = ("torch", "numpy", "scikit-learn", "matplotlib")


def about_data(data: DataSet, sizes: dict[str, int], scored: int, notes: list[str]) -> dict[str, Any]:
    """What the data are, how they were divided, and how many held-out rows were scored."""
    return {
        "name": data.name,
        "kind": data.kind,
        "source": data.source,
        "rows": len(data),
        "event_shape": list(data.event_shape),
        "levels": data.levels,
        "columns": data.columns,
        "context_columns": data.context_columns,
        "fingerprint": data.fingerprint,
        "split": sizes,
        "scored": scored,
        "notes": notes,
    }


def likelihoods(
    scores: Scores, on_train: Scores, others: Sequence[Baseline], unit: Unit, dimensions: int
) -> dict[str, Any]:
    """The flow's likelihood, that of each baseline, and their paired differences, in ``unit`` and in nats."""
    return {
        "unit": unit,
        "kind": scores.kind,
        "dequantisation": scores.dequantisation,
        "kind_in_words": scores.in_words,
        "dimensions": dimensions,
        **_entry(scores.nats, unit, dimensions),
        "zero_density": scores.zero_density,
        "not_a_number": scores.not_a_number,
        "training_rows": _entry(on_train.nats, unit, dimensions),
        "baselines": [
            {
                "name": other.name,
                "detail": other.detail,
                "notes": other.notes,
                "seconds": other.seconds,
                **_entry(other.nats, unit, dimensions),
                # Row by row: what makes a row hard is in both, and drops out.
                "difference": summarise(_difference(scores.nats, other.nats, unit, dimensions)).to_json(),
            }
            for other in others
        ],
    }


def _entry(nats: Array, unit: Unit, dimensions: int) -> dict[str, Any]:
    finite = np.isfinite(nats)
    return {
        "value": summarise(in_unit(nats, unit, dimensions)).to_json(),
        "nats": summarise(nats).to_json(),
        "finite_rows_only": None if finite.all() else summarise(in_unit(nats[finite], unit, dimensions)).to_json(),
    }


def _difference(flow: Array, other: Array, unit: Unit, dimensions: int) -> Array:
    with np.errstate(invalid="ignore"):
        return in_unit(flow - other, unit, dimensions)


def about_latents(fit: LatentFit) -> dict[str, Any]:
    """How far held-out latents are from the base, for every coordinate and for the squared norm."""
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


def about_columns(columns: Sequence[str], held_out: Rows, samples: Array, pits: Array | None) -> list[dict[str, Any]]:
    """For each column: moments of held-out rows and of samples, and how far the PIT is from uniform."""
    described = []
    for i, name in enumerate(columns):
        data, drawn = held_out.x[:, i].double().numpy(), samples[:, i]
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


def not_finite(samples: Array) -> int:
    """How many samples have a value that is not finite."""
    return int((~np.isfinite(samples.reshape(len(samples), -1))).any(1).sum())


def about_run(model: SavedModel, seed: int) -> dict[str, Any]:
    """What was run, by what, with which seed."""
    config = model.config
    return {
        "flow": config.flow.name,
        "options": dict(config.flow.options),
        "context_dim": config.flow.context_dim,
        "classes": config.flow.classes,
        "parameters": sum(p.numel() for p in model.flow.parameters()),
        "dtype": str(model.flow.dtype).removeprefix("torch."),
        "training": dict(config.training),
        "trained_with": dict(config.versions),
        "trained_on": None if config.data is None else config.data.model_dump(mode="json"),
        "seed": seed,
        "reported_with": {
            "pushforward": __version__,
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in _PACKAGES},
        },
    }


def verdict(numbers: dict[str, Any], check_passed: bool) -> tuple[str, str]:
    """The state ("good", "fair" or "bad") and one sentence: how likely held-out rows are, against the best baseline."""
    found = numbers["likelihood"]
    rows, unit = f"{numbers['data']['scored']:,} held-out rows", found["unit"]
    lost = found["zero_density"] + found["not_a_number"]
    if lost:
        what = "have density zero" if not found["not_a_number"] else "have no finite log-likelihood"
        return "bad", f"{lost:,} of {rows} {what}, so the mean likelihood is not finite: this model is not usable."
    value, error = found["value"]["mean"], found["value"]["standard_error"]
    spread = "" if error is None else f" ± {error:.3f}"
    article = {"exact": "", "bound": "a ", "estimate": "an "}[found["kind"]]
    bound = f" ({article}{found['kind_in_words']})" if article else ""
    sentence = f"{value:.3f}{spread} {unit}{bound} on {rows}"
    sentence = sentence.replace("-", "−", 1) if value < 0 else sentence
    state, compared = _against([b for b in found["baselines"] if b["name"] != "True density"], unit)
    if not check_passed:
        return "bad", f"{sentence}; {compared}. Its numerics failed a check: see numerical health."
    if numbers["samples"]["not_finite"]:
        return "bad", f"{sentence}; {compared}. Some of its samples are not finite."
    if state == "good" and numbers["data"]["scored"] < _FEW_ROWS:
        return "fair", f"{sentence}; {compared}, but so few rows decide nothing."
    return state, f"{sentence}; {compared}."


def _against(others: list[dict[str, Any]], unit: str) -> tuple[str, str]:
    sign = -1 if unit == "bits/dim" else 1
    finite = [b for b in others if b["value"]["mean"] is not None]
    if not finite:
        return "fair", "no baseline has a finite likelihood"
    best = max(finite, key=lambda b: sign * b["value"]["mean"])
    name = best["name"][0].lower() + best["name"][1:] if not best["name"].startswith("Gaussian") else best["name"]
    better, error = sign * best["difference"]["mean"], best["difference"]["standard_error"] or math.inf
    spread = "" if math.isinf(error) else f" ± {error:.3f}"
    if abs(better) <= 2 * error:
        difference = f"{sign * better:+.3f}".replace("-", "−")
        return "fair", f"no clear difference from the best baseline ({name}: {difference}{spread} {unit})"
    word = "better" if better > 0 else "worse"
    return "good" if better > 0 else "bad", f"{abs(better):.3f}{spread} {unit} {word} than the best baseline ({name})"


def plain(value: Any) -> Any:
    """``value`` as JSON has it: lists, numbers and strings; a number that is not finite becomes None."""
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
