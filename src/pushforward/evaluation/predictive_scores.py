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

    low, high: of the central interval that holds 90 %. under, upto: the predicted probabilities of less than the value
    and of at most the value; pit: the probability integral transform, drawn uniformly between both. crps: continuous
    ranked probability scores (Gneiting & Raftery, 2007).
    """

    name: str
    actual: Array
    mean: Array
    low: Array
    high: Array
    under: Array
    upto: Array
    pit: Array
    crps: Array

    @property
    def coverage(self) -> dict[float, float]:
        """The fraction of rows inside the central interval of each level, both ends included.

        An interval that ends at a value with a mass holds all of it, and so more than its level.
        """
        within = ((self.upto >= 0.5 - level / 2) & (self.under <= 0.5 + level / 2) for level in LEVELS)
        return {level: float(rows.mean()) for level, rows in zip(LEVELS, within, strict=True)}

    @property
    def randomised_coverage(self) -> dict[float, float]:
        """The same where a value with a mass at an end is inside at random, so that the level is expected."""
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
                {
                    "level": level,
                    "fraction": fraction,
                    "randomised": self.randomised_coverage[level],
                    "standard_error": math.sqrt(level * (1 - level) / rows),
                }
                for level, fraction in self.coverage.items()
            ],
        }


def _crps_of_one(values: Array) -> float:
    """The mean CRPS of the distribution of ``values: (N,)`` for each of them."""
    some = np.sort(values if len(values) <= _PAIRED else np.random.default_rng(0).permutation(values)[:_PAIRED])
    # Half the mean distance of two values, from the order statistics.
    count = len(some)
    return float(((2 * np.arange(count) - count + 1) * some).sum() / max(1, count * count))
