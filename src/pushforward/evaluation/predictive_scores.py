"""Scores of predictive distributions of one number: calibration, coverage, CRPS."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from pushforward.array_types import Array
from pushforward.evaluation.scores import summarise

LEVELS = (0.5, 0.8, 0.9, 0.95, 0.99)
_PAIRED = 2000


@dataclass(frozen=True, eq=False)
class PredictedTarget:
    """The predictions of one target beside its values, ``(N,)`` each.

    pit: probability integral transforms, ties broken at random. crps: continuous ranked probability scores (Gneiting &
    Raftery, 2007). low, high: of the central interval that holds 90 %.
    """

    name: str
    actual: Array
    mean: Array
    low: Array
    high: Array
    pit: Array
    crps: Array

    def take(self, rows: Array) -> PredictedTarget:
        """The predictions of the rows numbered ``rows``."""
        parts = (self.actual, self.mean, self.low, self.high, self.pit, self.crps)
        return PredictedTarget(self.name, *(part[rows] for part in parts))

    @property
    def coverage(self) -> dict[float, float]:
        """The fraction of rows inside the central interval of each level."""
        return {level: float((np.abs(self.pit - 0.5) <= level / 2).mean()) for level in LEVELS}

    def to_json(self) -> dict[str, Any]:
        """The mean scores, those of one distribution for all rows, and the coverage with its standard errors."""
        errors, spread = self.actual - self.mean, float(self.actual.var())
        rows = len(self.actual)
        return {
            "name": self.name,
            "rows": rows,
            "crps": summarise(self.crps).to_json(),
            "crps_of_one_distribution": _crps_of_one(self.actual),
            "root_mean_square_error": math.sqrt(float((errors**2).mean())),
            "mean_absolute_error": float(np.abs(errors).mean()),
            "r_squared": 1 - float((errors**2).mean()) / spread if spread > 0 else None,
            "interval_width": float((self.high - self.low).mean()),
            "coverage": [
                {"level": level, "fraction": fraction, "standard_error": math.sqrt(level * (1 - level) / rows)}
                for level, fraction in self.coverage.items()
            ],
        }


def _crps_of_one(values: Array) -> float:
    """The mean CRPS of the distribution of ``values: (N,)`` for each of them."""
    some = np.sort(values if len(values) <= _PAIRED else np.random.default_rng(0).permutation(values)[:_PAIRED])
    # Half the mean distance of two values, from the order statistics.
    count = len(some)
    return float(((2 * np.arange(count) - count + 1) * some).sum() / max(1, count * count))
