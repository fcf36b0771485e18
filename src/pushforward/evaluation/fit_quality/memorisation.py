"""Memorised training rows, and copies of rows on both sides of the split."""

from __future__ import annotations

import numpy as np

from pushforward.array_types import Array
from pushforward.evaluation.fit_quality.evidence import FitEvidence
from pushforward.evaluation.fit_quality.findings import Finding
from pushforward.evaluation.fit_quality.p_values import excess_among_lowest

_TRAIN_ROWS, _ROWS = 10_000, 1000
_NEAREST = 0.1  # of the distances, which count as near


def nearest(evidence: FitEvidence, rng: np.random.Generator) -> list[Finding]:
    """Samples nearer to training rows than held-out rows are."""
    rows = _whole_rows(evidence)
    if rows is None:
        return []
    from sklearn.neighbors import NearestNeighbors

    train = _some(rows[0], _TRAIN_ROWS, rng)
    centre, scale = _moments(train)
    index = NearestNeighbors(n_neighbors=1).fit(_scaled(train, centre, scale))
    held, drawn = (index.kneighbors(_scaled(_some(part, _ROWS, rng), centre, scale))[0][:, 0] for part in rows[1:])
    excess = excess_among_lowest(drawn, held, _NEAREST, rng)
    reason = (
        f"the model has memorised training rows: {100 * excess.fraction:.0f} % of the samples lie as near to one as "
        f"{100 * excess.of_samples:.0f} % of the {evidence.rows_name}"
    )
    values = {
        "distance": excess.threshold,
        "fraction_of_samples": excess.fraction,
        "fraction_of_held_out": excess.of_samples,
    }
    return [Finding("memorisation", reason, excess.p_value, excess.fraction - excess.of_samples, 0.05, 0.15, values)]


def copies(evidence: FitEvidence, rng: np.random.Generator) -> list[Finding]:
    """Held-out rows that are exact copies of training rows, compared with copies among the samples."""
    parts = _whole_rows(evidence)
    if parts is None:
        return []
    from scipy.stats import fisher_exact

    known = set(_keys(parts[0]))
    held, drawn = (sum(key in known for key in _keys(part)) for part in parts[1:])
    rows, draws = len(parts[1]), len(parts[2])
    p_value = float(fisher_exact([[held, rows - held], [drawn, draws - drawn]], alternative="greater")[1])
    reason = (
        f"{100 * held / rows:.2g} % of the {evidence.rows_name} are copies of training rows, so their likelihood "
        "flatters the model: put copies on one side of the split"
    )
    size = held / rows - drawn / draws
    values = {"held_out": held / rows, "samples": drawn / draws}
    return [Finding("copies", reason, p_value, size, 0.01, values=values)]


def _whole_rows(evidence: FitEvidence) -> tuple[Array, Array, Array] | None:
    """Training rows, held-out rows and samples, each with its context; None if a part is missing.

    Equal values in different contexts are no copies.
    """
    if evidence.train is None or evidence.held_out is None or evidence.samples is None:
        return None
    if evidence.context is None:
        return evidence.train, evidence.held_out, evidence.samples
    if evidence.train_context is None:
        return None
    of_rows = np.concatenate([evidence.held_out, evidence.context], 1)
    of_samples = np.concatenate([evidence.samples, evidence.context], 1)
    return np.concatenate([evidence.train, evidence.train_context], 1), of_rows, of_samples


def _keys(rows: Array) -> list[bytes]:
    # Samples are float32 numbers; adding 0 makes -0 and 0 one key.
    narrow = np.ascontiguousarray(rows.astype(np.float32) + np.float32(0))
    return [row.tobytes() for row in narrow]


def _some(rows: Array, most: int, rng: np.random.Generator) -> Array:
    return rows if len(rows) <= most else rows[rng.permutation(len(rows))[:most]]


def _moments(rows: Array) -> tuple[Array, Array]:
    """Median and range between the outer tenths of each column: one wild value changes neither."""
    low, centre, high = np.nan_to_num(np.nanquantile(rows, (0.1, 0.5, 0.9), axis=0))
    return centre, np.where(high > low, high - low, 1.0)


def _scaled(rows: Array, centre: Array, scale: Array) -> Array:
    return np.asarray(np.nan_to_num((rows - centre) / scale))
