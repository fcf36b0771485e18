"""The evidence for a verdict on a fit: rows, samples, and log-densities of both, as plain arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from pushforward.array_types import Array
from pushforward.errors import DataError, ShapeError
from pushforward.evaluation.fit_quality.resampling import count_of_independent, systematic


@dataclass(frozen=True, eq=False)
class FitEvidence:
    """Rows, samples and log-densities in nats, from which `assess_fit` judges a model. A measure without its parts is
    left out.

    log_held_out: ``(M,)`` of held-out rows. log_train: ``(T,)`` of a random subset of the training rows. log_samples:
    ``(K,)`` of samples of the model, scored like the rows. train: ``(N, D)``, held_out: ``(M, D)``, samples: ``(K, D)``
    numbers, NaN where a row has no value. Of a conditional model, sample i has the context of held-out row i, so K = M;
    context: ``(M, C)``, and train_context: ``(N, C)`` of the training rows. pit: ``(M, D)`` probability integral
    transforms of the held-out values given the contexts; None computes them from the samples. latents: ``(M, L)``
    values of the base's distribution function, uniform and independent if the model is right. rivals: log-densities
    ``(M,)`` of the held-out rows under other densities, by name. weights: ``(M,)`` of the held-out rows, 0 or above.
    names: of the D columns. best_step: the training step of the model. exact: whether log-densities are exact, neither
    bounds nor estimates. dimensions: of a row; None: D, or 1. rows_name: the words for the M rows in
    reasons.
    """

    log_held_out: Array
    log_train: Array | None = None
    log_samples: Array | None = None
    train: Array | None = None
    held_out: Array | None = None
    samples: Array | None = None
    context: Array | None = None
    train_context: Array | None = None
    pit: Array | None = None
    latents: Array | None = None
    rivals: Mapping[str, Array] = field(default_factory=dict)
    weights: Array | None = None
    names: Sequence[str] | None = None
    best_step: int | None = None
    exact: bool = True
    dimensions: int | None = None
    rows_name: str = "held-out rows"

    def __post_init__(self) -> None:
        count = len(self.log_held_out)
        for name, part in self._of_rows().items():
            if part is not None and len(part) != count:
                raise ShapeError(f"{name} has {len(part)} rows, but log_held_out has {count}: give one for each row")
        for name, values in self.rivals.items():
            if len(values) != count:
                raise ShapeError(f"{name} has {len(values)} log-densities, but there are {count} held-out rows")
        if self.context is not None and self.samples is not None and len(self.samples) != count:
            raise ShapeError(f"a sample for the context of each of the {count} rows expected, got {len(self.samples)}")
        if self.weights is not None and not _are_weights(self.weights):
            raise DataError("weights: numbers of 0 or above expected, at least one of them above 0")

    @property
    def size(self) -> int:
        """The number of values of a row, by which limits in nats grow."""
        if self.dimensions is not None:
            return self.dimensions
        return 1 if self.held_out is None else self.held_out.shape[1]

    def column(self, number: int) -> str:
        """The name of a column."""
        return f"column {number}" if self.names is None else str(self.names[number])

    def unweighted(self, rng: np.random.Generator) -> FitEvidence:
        """The same evidence with held-out rows of equal weight, drawn in proportion to their weights.

        There are as many as let every test keep its level.
        """
        if self.weights is None:
            return self
        rows = systematic(self.weights, count_of_independent(self.weights), rng)
        return replace(self.take(rows), weights=None)

    def take(self, rows: Array) -> FitEvidence:
        """The evidence on the held-out rows numbered ``rows: (B,)``."""
        of_rows = self._of_rows()
        if self.context is not None:
            of_rows |= {"samples": self.samples, "log_samples": self.log_samples}
        parts = {name: part if part is None else part[rows] for name, part in of_rows.items()}
        rivals = {name: values[rows] for name, values in self.rivals.items()}
        return replace(self, **parts, rivals=rivals)  # type: ignore[arg-type]

    def _of_rows(self) -> dict[str, Array | None]:
        """The arrays with one entry for each held-out row, by name."""
        return {
            "log_held_out": self.log_held_out,
            "held_out": self.held_out,
            "context": self.context,
            "pit": self.pit,
            "latents": self.latents,
            "weights": self.weights,
        }


def _are_weights(weights: Array) -> bool:
    return bool(np.isfinite(weights).all() and (weights >= 0).all() and (weights > 0).any())
