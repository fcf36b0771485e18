"""Moments of predicted integers: those of the probabilities of all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import ndtr

from pushforward.estimators.columns.column import ModelledColumn
from pushforward.estimators.columns.plan import ColumnPlan
from pushforward.estimators.models.column_distribution import ColumnDistribution
from pushforward.estimators.models.mixture_head import MixtureHead
from pushforward.estimators.predictions import PredictedNumbers

RNG = np.random.default_rng(0)
TARGETS: dict[str, Any] = {
    "few counts": RNG.poisson(3.0, 600),
    "counts to thousands": RNG.negative_binomial(1, 0.002, 600),
    "a type's limits": np.clip(RNG.normal(20, 60, 600), 0, 255).astype(np.uint8),
    "common values": np.where(RNG.random(600) < 0.5, 100 * RNG.poisson(8.0, 600), RNG.normal(1000, 400, 600).round()),
    "one decimal": np.exp(RNG.normal(size=600)).round(1),
    "far from 0": RNG.normal(-5000, 300, 600).round().astype(int),
}
MEANS, DEVIATIONS = [-2.0, -0.5, 0.0, 1.0], [1.0, 0.5, 0.1, 0.01]


def predictions(column: ModelledColumn) -> PredictedNumbers:
    """Predictions of a number with a Gaussian value of each of some means and deviations, and two together."""
    means, deviations = np.meshgrid(MEANS, DEVIATIONS)
    pairs = np.stack([means.ravel(), np.zeros(16)], 1), np.stack([deviations.ravel(), np.full(16, 0.3)], 1)
    head = MixtureHead(torch.full((16, 2), 0.5).double().log(), *map(torch.from_numpy, (pairs[0], np.log(pairs[1]))))
    states = torch.full((16, column.shape.states), 1 / column.shape.states).double().log()
    return PredictedNumbers(column, ColumnDistribution(states, head), -6.0, 6.0)


@pytest.mark.parametrize("name", TARGETS)
def test_the_mean_and_variance_of_an_integer_are_those_of_its_rounded_values(name: str) -> None:
    column = ColumnPlan.guess({"y": TARGETS[name]}, {"y": "integer"} if name == "common values" else None).modelled[0]
    predicted = predictions(column)
    head, (points, at_points) = predicted.encoded.value, predicted._masses()
    assert head is not None
    z = np.linspace(-7, 7, 8001)
    masses = np.append(np.diff(ndtr((z[1:] + z[:-1]) / 2), prepend=0.0), ndtr(-z[-1])) / 2
    masses = masses[None, None] * np.exp(predicted.encoded.log_states[:, :1, None].numpy())
    values = head.means[:, :, None] + head.log_scales.exp()[:, :, None] * torch.from_numpy(z)
    numbers = predicted._decode(values.numpy().ravel().clip(-6, 6)).reshape(values.shape)
    mean = (masses * numbers).sum((1, 2)) + (at_points * points).sum(1)
    around = (masses * (numbers - mean[:, None, None]) ** 2).sum((1, 2))
    variance = around + (at_points * (points - mean[:, None]) ** 2).sum(1)
    assert (np.abs(predicted.mean() - mean) < 2e-3 * np.sqrt(variance)).all()
    assert predicted.var() == pytest.approx(variance, rel=5e-3)
