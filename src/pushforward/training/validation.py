"""Validation scores: always on the same rows with the same noise, so that rounds can be compared."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from pushforward.flow import Flow
from pushforward.rows import Rows, row_likelihoods
from pushforward.training.options import TrainingOptions

# By default a round scores at most this many rows and this many values.
_MAX_ROWS, _MAX_VALUES = 10_000, 4_000_000
# Rows are scored in chunks of about this many values.
_CHUNK_VALUES, _MAX_CHUNK = 2**18, 8192
# In a run limited by time a round takes at most this fraction of it, but scores at least this many rows.
_ROUND_FRACTION, _MIN_ROWS = 0.02, 256


@dataclass(frozen=True)
class Score:
    """Mean log-likelihood in nats of ``rows`` rows with its standard error."""

    mean: float
    standard_error: float
    rows: int

    @classmethod
    def of(cls, values: torch.Tensor, weights: torch.Tensor | None = None) -> Score:
        """The score of log-likelihoods ``values: (N,)``, weighted where ``weights: (N,)`` are given.

        The error of a weighted mean takes the weights as given: it follows from the effective number of rows.
        """
        if weights is not None:
            return cls._weighted(values, weights.to(values.device, values.dtype))
        error = float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else math.nan
        return cls(float(values.mean()), error, len(values))

    @classmethod
    def _weighted(cls, values: torch.Tensor, weights: torch.Tensor) -> Score:
        fractions, rows = weights / weights.sum(), len(values)
        mean = (fractions * values).sum()
        variance = (fractions * (values - mean)).square().sum() * rows / max(1, rows - 1)
        return cls(float(mean), float(variance.sqrt()) if rows > 1 else math.nan, rows)


class Validator:
    """Validation of ``flow`` in evaluation mode on a fixed random subset of ``rows``, with noise keyed by row."""

    def __init__(
        self, flow: Flow, rows: Rows, options: TrainingOptions, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.clock = clock
        self.flow, self.seed, self.total = flow, options.seed, len(rows)
        self.chunk = min(_MAX_CHUNK, max(64, _CHUNK_VALUES // rows.event_size))
        limit = options.validation_rows or max(_MIN_ROWS, min(_MAX_ROWS, _MAX_VALUES // rows.event_size))
        self.adaptable = options.validation_rows is None
        generator = torch.Generator().manual_seed(self.seed)
        if rows.weights is not None and self.total > limit:
            self.rows = rows.drawn(rows.draws(limit, generator))
        else:
            self.rows = rows.take(torch.randperm(self.total, generator=generator)[:limit])

    def __len__(self) -> int:
        return len(self.rows)

    def fit_to(self, seconds: float) -> None:
        """Score fewer rows if a round would take too large a fraction of a run of ``seconds``."""
        if not self.adaptable:
            return
        some = self.rows.sample(_MIN_ROWS, self.seed)
        # The first pass warms up, the second is timed.
        self._values(some)
        start = self.clock()
        self._values(some)
        per_row = max(self.clock() - start, 1e-9) / len(some)
        self.rows = self.rows.sample(max(len(some), int(_ROUND_FRACTION * seconds / per_row)), self.seed)

    def score(self) -> Score:
        """Score the rows with the flow's present weights."""
        return Score.of(self._values(self.rows), self.rows.weights)

    def _values(self, rows: Rows) -> torch.Tensor:
        return row_likelihoods(self.flow, rows, self.seed, batch_size=self.chunk).value
