"""The comparison of held-out likelihoods of a flow and its baselines, as JSON values and in one sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pushforward.array_types import Array
from pushforward.evaluation.baselines import NAMES, Baseline
from pushforward.evaluation.scores import Scores, standard_errors, summarise
from pushforward.units import Unit, better, in_unit


def compare_likelihoods(
    scores: Scores, on_train: Scores, baselines: Sequence[Baseline], unit: Unit, dimensions: int
) -> dict[str, Any]:
    """The flow's likelihood, that of each baseline, and their paired differences, in ``unit`` and in nats."""
    return {
        "unit": unit,
        "kind": scores.kind,
        "bound": scores.bound,
        "dequantisation": scores.dequantisation,
        "kind_in_words": scores.in_words,
        "dimensions": dimensions,
        **_means(scores.nats, unit, dimensions),
        "zero_density": scores.zero_density,
        "not_a_number": scores.not_a_number,
        "training_rows": _means(on_train.nats, unit, dimensions),
        "baselines": [
            {
                "role": baseline.role,
                "name": baseline.name,
                "detail": baseline.detail,
                "notes": baseline.notes,
                "seconds": baseline.seconds,
                **_means(baseline.nats, unit, dimensions),
                # Paired by row: the difficulty of a row is in both values and cancels.
                "difference": summarise(_difference(scores.nats, baseline.nats, unit, dimensions)).to_json(),
            }
            for baseline in baselines
        ],
    }


def _means(nats: Array, unit: Unit, dimensions: int) -> dict[str, Any]:
    finite = np.isfinite(nats)
    return {
        "value": summarise(in_unit(nats, unit, dimensions)).to_json(),
        "nats": summarise(nats).to_json(),
        "finite_rows_only": None if finite.all() else summarise(in_unit(nats[finite], unit, dimensions)).to_json(),
    }


def _difference(flow: Array, other: Array, unit: Unit, dimensions: int) -> Array:
    with np.errstate(invalid="ignore"):
        return in_unit(flow - other, unit, dimensions)


def comparison_in_words(likelihood: dict[str, Any]) -> str:
    """One sentence with the held-out likelihood, and its difference from that of the best baseline.

    likelihood: the result of `compare_likelihoods`.
    """
    unit, count = likelihood["unit"], likelihood["value"]["rows"]
    rows = f"{count:,} held-out rows"
    lost = likelihood["zero_density"] + likelihood["not_a_number"]
    if lost:
        fault = "have density zero" if not likelihood["not_a_number"] else "have no finite log-likelihood"
        return f"{lost:,} of {rows} {fault}, so the mean likelihood is not finite."
    value, error = likelihood["value"]["mean"], likelihood["value"]["standard_error"]
    article = {"exact": "", "bound": "a ", "estimate": "an "}[likelihood["kind"]]
    kind = f" ({article}{likelihood['kind_in_words']})" if article else ""
    sentence = f"{value:.3f}{_plus_minus(error)} {unit}{kind} on {rows}"
    sentence = sentence.replace("-", "−", 1) if value < 0 else sentence
    return f"{sentence}; {_against_the_best(likelihood)}."


def _against_the_best(likelihood: dict[str, Any]) -> str:
    unit = likelihood["unit"]
    sign = -1 if better(unit) == "lower" else 1
    finite = [b for b in likelihood["baselines"] if b["role"] != "truth" and b["value"]["mean"] is not None]
    if not finite:
        return "no baseline has a finite likelihood"
    best = max(finite, key=lambda b: sign * b["value"]["mean"])
    name, error = NAMES[best["role"]], best["difference"]["standard_error"]
    gain = sign * best["difference"]["mean"]
    if abs(gain) <= (standard_errors(best["difference"]["rows"]) * error if error else math.inf):
        difference = f"{sign * gain:+.3f}".replace("-", "−")
        return f"no clear difference from the best baseline ({name}: {difference}{_plus_minus(error)} {unit})"
    word = "better" if gain > 0 else "worse"
    return f"{abs(gain):.3f}{_plus_minus(error)} {unit} {word} than the best baseline ({name})"


def _plus_minus(error: float | None) -> str:
    return f" ± {error:.3f}" if error else ""
