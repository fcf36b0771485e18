"""The marginals of a model: probability integral transforms of its columns, and their tails."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pushforward.array_types import Array
from pushforward.evaluation.calibration import kolmogorov
from pushforward.evaluation.fit_quality.evidence import FitEvidence
from pushforward.evaluation.fit_quality.findings import Finding
from pushforward.evaluation.fit_quality.p_values import Excess, band, excess_among_lowest, pit_among, uniform_p_value

# Fractions of the pooled values that count as a tail.
_TAILS = (0.002, 0.005, 0.02)
# Levels of central intervals whose coverage is told.
_INTERVALS = (0.5, 0.8, 0.9, 0.95)
_QUANTILES = (0.001, 0.005, 0.995, 0.999)


def marginals(evidence: FitEvidence, rng: np.random.Generator) -> list[Finding]:
    """The column whose probability integral transform (PIT) is farthest from uniform."""
    pit, draws = evidence.pit, None
    if pit is None:
        if evidence.held_out is None or evidence.samples is None:
            return []
        draws = len(evidence.samples)
        columns = zip(evidence.held_out.T, evidence.samples.T, strict=True)
        pit = np.stack([pit_among(x, y, rng) for x, y in columns], 1)
    distances = np.array([kolmogorov(column) for column in pit.T])
    worst = int(distances.argmax())
    p_value = min(1.0, len(distances) * uniform_p_value(distances[worst], len(pit), draws))
    which = "the marginal of" if evidence.pit is None else "the predictive distribution of"
    reason = (
        f"{which} {evidence.column(worst)} is off: up to {100 * distances[worst]:.0f} % of the {evidence.rows_name} "
        "lie on the wrong side of a quantile"
    )
    values = {
        "column": evidence.column(worst),
        "distances": distances.tolist(),
        "simultaneous_band": band(len(pit), 0.05, len(distances), draws),
    }
    return [Finding("marginals", reason, p_value, float(distances[worst]), 0.04, 0.2, values)]


def widths(evidence: FitEvidence, rng: np.random.Generator) -> list[Finding]:
    """The column whose central intervals given the contexts have the wrong coverage, at all levels at once."""
    if evidence.pit is None:
        return []
    # The level of the smallest central interval that holds the value is uniform if the distribution is right.
    levels = np.abs(2 * evidence.pit - 1)
    distances = np.array([kolmogorov(column) for column in levels.T])
    worst = int(distances.argmax())
    p_value = min(1.0, len(distances) * uniform_p_value(distances[worst], len(levels)))
    wide = float(levels[:, worst].mean()) < 0.5
    covered = {f"{level:g}": float((levels[:, worst] <= level).mean()) for level in _INTERVALS}
    reason = (
        f"the predictive distribution of {evidence.column(worst)} is too {'wide' if wide else 'narrow'}: its central "
        f"intervals of 50 and 90 % hold {100 * covered['0.5']:.0f} and {100 * covered['0.9']:.0f} % of the "
        f"{evidence.rows_name}"
    )
    values = {"column": evidence.column(worst), "distances": distances.tolist(), "levels": covered}
    return [Finding("widths", reason, p_value, float(distances[worst]), 0.04, 0.2, values)]


def tails(evidence: FitEvidence, rng: np.random.Generator) -> list[Finding]:
    """The tail of a column in which held-out rows and samples differ most significantly."""
    if evidence.held_out is None or evidence.samples is None:
        return []
    worst: tuple[float, int, str, bool, Excess] | None = None
    tests = 0
    for number, (data, drawn) in enumerate(zip(evidence.held_out.T, evidence.samples.T, strict=True)):
        data, drawn = data[~np.isnan(data)], drawn[~np.isnan(drawn)]
        if not len(data) or not len(drawn):
            continue
        for side, sign in (("lower", 1), ("upper", -1)):
            for fraction in _TAILS:
                found = excess_among_lowest(sign * data, sign * drawn, fraction, rng)
                back = excess_among_lowest(sign * drawn, sign * data, fraction, rng)
                tests += 2
                for too_light, excess in ((True, found), (False, back)):
                    if worst is None or excess.p_value < worst[0]:
                        worst = (excess.p_value, number, side, too_light, excess)
    if worst is None:
        return []
    p_value, number, side, too_light, excess = worst
    low, high = excess.of_samples, excess.fraction
    ratio = (high + 1e-4) / (low + 1e-4)
    ours, theirs = (high, low) if too_light else (low, high)
    reason = (
        f"the {side} tail of {evidence.column(number)} is too {'light' if too_light else 'heavy'}: it holds "
        f"{100 * ours:.2g} % of the {evidence.rows_name} and {100 * theirs:.2g} % of the samples"
    )
    values = {"column": evidence.column(number), "side": side, "quantiles": _quantiles(evidence)}
    return [Finding("tails", reason, min(1.0, tests * p_value), ratio, 1.5, values=values)]


def _quantiles(evidence: FitEvidence) -> list[dict[str, Any]]:
    """Extreme quantiles of every column, of the held-out rows with a 95 % interval and of the samples."""
    assert evidence.held_out is not None
    assert evidence.samples is not None
    columns = zip(evidence.held_out.T, evidence.samples.T, strict=True)
    levels = [extreme_quantiles(data, drawn) for data, drawn in columns]
    return [{"column": evidence.column(number), **each} for number, each in enumerate(levels) if each]


def extreme_quantiles(data: Array, drawn: Array) -> dict[str, Any] | None:
    """Extreme quantiles by level of values ``(N,)``, with a 95 % interval, and of samples; None without values."""
    data, drawn = np.sort(data[~np.isnan(data)]), drawn[~np.isnan(drawn)]
    if not len(data) or not len(drawn):
        return None
    return {
        f"{level:g}": {
            "held_out": float(np.quantile(data, level)),
            "interval": _interval(data, level),
            "samples": float(np.quantile(drawn, level)),
        }
        for level in _QUANTILES
    }


def _interval(ordered: Array, level: float) -> tuple[float | None, float | None]:
    """A 95 % interval of a quantile, between two order statistics; None where it has no end."""
    from scipy.stats import binom

    low, high = (int(binom.ppf(p, len(ordered), level)) for p in (0.025, 0.975))
    return (
        None if low < 1 else float(ordered[low - 1]),
        None if high >= len(ordered) else float(ordered[high]) if math.isfinite(ordered[high]) else None,
    )
