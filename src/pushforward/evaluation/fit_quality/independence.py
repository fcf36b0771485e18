"""The joint probability integral transform (Rosenblatt): uniform and independent latents."""

from __future__ import annotations

import numpy as np

from pushforward.array_types import Array
from pushforward.evaluation.calibration import kolmogorov
from pushforward.evaluation.fit_quality.evidence import FitEvidence
from pushforward.evaluation.fit_quality.findings import Finding
from pushforward.evaluation.fit_quality.p_values import uniform_p_value

_MOST = 100  # coordinates; more are drawn at random


def joint_pit(evidence: FitEvidence, rng: np.random.Generator) -> list[Finding]:
    """The latent coordinate farthest from uniform, and the pair that depends most on each other."""
    if evidence.latents is None:
        return []
    u = evidence.latents
    u = u[np.isfinite(u).all(1)]
    if len(u) < 3:
        return []
    if u.shape[1] > _MOST:
        u = u[:, np.sort(rng.permutation(u.shape[1])[:_MOST])]
    radius = _radius(u)
    distances = np.array([*(kolmogorov(column) for column in u.T), kolmogorov(radius)])
    worst = int(distances.argmax())
    which = "their distance from the centre" if worst == u.shape[1] else f"coordinate {worst}"
    reason = (
        f"the latents of {evidence.rows_name} do not follow the base: {which} deviates by "
        f"{100 * distances[worst]:.0f} %"
    )
    p_value = min(1.0, len(distances) * uniform_p_value(distances[worst], len(u)))
    found = [Finding("latents", reason, p_value, float(distances[worst]), 0.04, 0.2, {"distances": distances.tolist()})]
    return found + _dependence(u, evidence.rows_name)


def _radius(u: Array) -> Array:
    """The distribution function of the squared norm of Gaussian latents, uniform if ``u: (N, D)`` is."""
    from scipy.special import ndtri
    from scipy.stats import chi2

    z = ndtri(np.clip(u, 1e-12, 1 - 1e-12))
    return np.asarray(chi2.cdf(np.square(z).sum(1), u.shape[1]))


def _dependence(u: Array, rows_name: str) -> list[Finding]:
    """The largest correlation of two coordinates, or of their distances from the median."""
    from scipy.stats import norm

    columns = u.shape[1]
    # A constant coordinate has no correlation; its distance from uniform speaks for itself.
    varied = (np.ptp(u, axis=0) > 0) & (np.ptp(np.abs(u - 0.5), axis=0) > 0)
    pairs = columns * (columns - 1) // 2
    if varied.sum() < 2:
        return []
    numbers = np.flatnonzero(varied)
    best: tuple[float, int, int] = (0.0, 0, 0)
    for values in (u[:, varied], np.abs(u[:, varied] - 0.5)):
        matrix = np.abs(np.triu(np.corrcoef(values, rowvar=False), 1))
        row, column = np.unravel_index(int(matrix.argmax()), matrix.shape)
        if matrix[row, column] > best[0]:
            best = float(matrix[row, column]), int(numbers[row]), int(numbers[column])
    size, first, second = best
    p_value = min(1.0, 2 * pairs * 2 * float(norm.sf(size * np.sqrt(len(u)))))
    reason = f"the latent coordinates {first} and {second} of {rows_name} depend on each other"
    return [Finding("latent_dependence", reason, p_value, size, 0.1, 0.4, {"pair": [first, second]})]
