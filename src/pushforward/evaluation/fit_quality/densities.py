"""Tests on log-densities: coverage of highest-density regions, rows of low density, the gap to the training rows."""

from __future__ import annotations

import math

import numpy as np

from pushforward.evaluation.calibration import kolmogorov, region_coverage
from pushforward.evaluation.fit_quality.evidence import FitEvidence
from pushforward.evaluation.fit_quality.findings import Finding
from pushforward.evaluation.fit_quality.p_values import excess_among_lowest, pit_among, positive_mean, uniform_p_value

_LEVELS = (0.5, 0.8, 0.95, 0.99)
# Fractions of the pooled log-densities that count as low.
_LOW = (0.001, 0.005, 0.02, 0.05)


def impossible(evidence: FitEvidence, rng: np.random.Generator) -> list[Finding]:
    """Held-out rows without a finite log-density."""
    lost = int((~np.isfinite(evidence.log_held_out)).sum())
    if not lost:
        return []
    nan = int((~(evidence.log_held_out < math.inf)).sum())
    fault = f"{'has' if lost == 1 else 'have'} {'no finite log-likelihood' if nan else 'density zero'}"
    rows = len(evidence.log_held_out)
    reason = f"{lost:,} of {rows:,} {evidence.rows_name} {fault}"
    return [Finding("impossible", reason, 0.0, 1.0 if nan else lost / rows, 0.0, 0.005, {"rows": lost})]


def coverage(evidence: FitEvidence, rng: np.random.Generator) -> list[Finding]:
    """Coverage of highest-density regions at all levels at once, and the excess of held-out rows of low density."""
    if evidence.log_samples is None:
        return []
    held, drawn = evidence.log_held_out, evidence.log_samples
    pit = pit_among(held, drawn, rng)
    distance = kolmogorov(pit)
    covered = {f"{p:g}": value for p, value in zip(_LEVELS, region_coverage(held, drawn, _LEVELS), strict=True)}
    reason = (
        f"the regions of highest density have a wrong coverage: the one of 80 % holds {100 * covered['0.8']:.0f} % of "
        f"the {evidence.rows_name}"
    )
    p_value = uniform_p_value(distance, len(held), len(drawn))
    low = [excess_among_lowest(held, drawn, fraction, rng) for fraction in _LOW]
    least = min(low, key=lambda excess: excess.p_value)
    lacking = (
        f"{100 * least.fraction:.2g} % of the {evidence.rows_name} have a log-density as low as "
        f"{100 * least.of_samples:.2g} % of the samples: a mode or a tail is missing"
    )
    return [
        Finding("coverage", reason, p_value, distance, 0.04, 0.2, {"levels": covered}),
        Finding(
            "low_density",
            lacking,
            min(1.0, len(low) * least.p_value),
            least.fraction - least.of_samples,
            0.005,
            0.1,
            {"fraction": least.fraction, "of_samples": least.of_samples, "log_density": least.threshold},
        ),
    ]


def gap(evidence: FitEvidence, rng: np.random.Generator) -> list[Finding]:
    """The mean log-density of the training rows minus that of the held-out rows."""
    if evidence.log_train is None:
        return []
    train, held = (x[np.isfinite(x)] for x in (evidence.log_train, evidence.log_held_out))
    if len(train) < 2 or len(held) < 2:
        return []
    difference = float(train.mean() - held.mean())
    error = math.hypot(*(x.std(ddof=1) / math.sqrt(len(x)) for x in (train, held)))
    p_value = positive_mean(difference, error, min(len(train), len(held)))
    care = max(0.2, 0.02 * evidence.size)
    reason = (
        f"training rows score {difference:.2g} nats better than {evidence.rows_name} (a mean of {len(train):,} "
        "training rows): the model is overfitted"
    )
    values = {"nats": difference, "training_rows": len(train)}
    return [Finding("gap", reason, p_value, difference, care, 10 * care, values)]
