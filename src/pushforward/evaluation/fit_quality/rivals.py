"""Comparisons with other densities, in the mean and row by row."""

from __future__ import annotations

import math

import numpy as np

from pushforward.evaluation.fit_quality.evidence import FitEvidence
from pushforward.evaluation.fit_quality.findings import Finding
from pushforward.evaluation.fit_quality.p_values import positive_mean

# Advantages of a rival at one row, in nats.
_ADVANTAGES = (4.0, 7.0, 10.0)


def in_the_mean(evidence: FitEvidence, rng: np.random.Generator) -> list[Finding]:
    """The rival with the most significant advantage in the mean log-density."""
    worst: tuple[float, str, float] | None = None
    for name, values in evidence.rivals.items():
        with np.errstate(invalid="ignore"):
            advantage = values - evidence.log_held_out
        advantage = advantage[np.isfinite(advantage)]
        if len(advantage) < 2 or not np.isfinite(values).all():
            continue
        error = float(advantage.std(ddof=1)) / math.sqrt(len(advantage))
        p_value = positive_mean(float(advantage.mean()), error, len(advantage))
        if worst is None or p_value < worst[0]:
            worst = p_value, name, float(advantage.mean())
    if worst is None:
        return []
    p_value, name, nats = worst
    care = max(0.02, 0.005 * evidence.size)
    reason = f"the {name} is better by {nats:.2g} nats a row"
    p_value = min(1.0, p_value * len(evidence.rivals))
    return [Finding("rival_mean", reason, p_value, nats, care, 25 * care, {"rival": name, "nats": nats})]


def row_by_row(evidence: FitEvidence, rng: np.random.Generator) -> list[Finding]:
    """Held-out rows at which a rival is better by many nats.

    Of rows drawn from the model p, a fraction of at most ``1 / t`` has ``q / p >= t``, whatever the density q: the mean
    of q / p over p is at most 1. More such rows show a region, such as a mode, that the model lacks. A bound or an
    estimate has no such limit.
    """
    if not evidence.exact:
        return []
    from scipy.stats import binom

    rows, worst = len(evidence.log_held_out), None
    for name, values in evidence.rivals.items():
        with np.errstate(invalid="ignore"):
            advantage = values - evidence.log_held_out
        for nats in _ADVANTAGES:
            count = int((advantage >= nats).sum())
            expected = math.exp(-nats)
            p_value = float(binom.sf(count - 1, rows, expected))
            if worst is None or p_value < worst[0]:
                worst = p_value, name, nats, count / rows, expected
    if worst is None:
        return []
    p_value, name, nats, fraction, expected = worst
    reason = (
        f"the {name} is better by more than {nats:g} nats at {100 * fraction:.2g} % of the {evidence.rows_name}: a "
        "mode or a region is missing"
    )
    p_value = min(1.0, p_value * len(evidence.rivals) * len(_ADVANTAGES))
    values_of = {"rival": name, "nats": nats, "fraction": fraction, "at_most": expected}
    return [Finding("rival_rows", reason, p_value, fraction - expected, 0.003, 0.1, values_of)]
