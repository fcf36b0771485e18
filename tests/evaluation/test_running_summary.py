"""The mean of values in blocks is that of all values."""

import numpy as np
import pytest

from pushforward.evaluation.scores import RunningSummary, summarise


def test_blocks_have_the_mean_and_standard_error_of_the_whole() -> None:
    values = 1e6 + np.random.default_rng(0).normal(size=1000)
    running = RunningSummary()
    for block in np.split(values, [0, 1, 300, 301]):
        running.add(block)
    whole, blocks = summarise(values), running.summary()
    assert blocks.rows == 1000
    assert blocks.mean == pytest.approx(whole.mean, rel=1e-14)
    assert blocks.standard_error == pytest.approx(whole.standard_error, rel=1e-9)


def test_values_that_are_not_finite_have_no_mean() -> None:
    running = RunningSummary()
    assert running.summary().mean is None
    running.add(np.array([1.0, -np.inf]))
    running.add(np.array([2.0]))
    assert (running.summary().mean, running.not_finite, running.rows) == (None, 1, 3)


def test_weights_count_values_in_blocks_as_in_the_whole() -> None:
    rng = np.random.default_rng(0)
    values, weights = 1e3 + rng.normal(size=500), rng.exponential(size=500)
    weights[:10] = 0
    running = RunningSummary()
    for rows in np.split(np.arange(500), [5, 200]):
        running.add(values[rows], weights[rows])
    found, mean = running.summary(), np.average(values, weights=weights)
    error = np.sqrt((weights**2 * (values - mean) ** 2).sum() * 500 / 499) / weights.sum()
    assert (found.mean, found.standard_error) == (pytest.approx(mean, rel=1e-13), pytest.approx(error, rel=1e-9))
