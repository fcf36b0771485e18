"""Held-out likelihoods beside those of baselines, and the sentence about them."""

import math

import numpy as np
import pytest

from pushforward.evaluation.baselines import Baseline
from pushforward.evaluation.likelihood_comparison import compare_likelihoods, verdict
from pushforward.evaluation.scores import Scores

ROWS = np.random.default_rng(0).normal(size=200)


def scores(nats: np.ndarray) -> Scores:
    return Scores(nats, "exact", False, None, "exact")


def likelihood(nats: np.ndarray, *baselines: Baseline, unit: str = "nats") -> dict:
    return compare_likelihoods(scores(nats), scores(nats), baselines, unit, 4)


def baseline(role: str, gain: float) -> Baseline:
    """A baseline whose log-likelihoods lie ``gain`` above those of the flow, with a little noise."""
    return Baseline(role, "", ROWS + gain + 0.01 * np.random.default_rng(1).normal(size=200), 0.0)


@pytest.mark.parametrize(
    ("gain", "state", "words"),
    [
        (-1.0, "good", "better than the best baseline (kernel density)"),
        (1.0, "bad", "worse than the best baseline (kernel density)"),
        (0.0, "fair", "no clear difference from the best baseline (kernel density"),
    ],
)
@pytest.mark.parametrize("unit", ["nats", "bits/dim"])
def test_the_best_baseline_decides_in_every_unit(gain, state, words, unit):
    compared = likelihood(ROWS, baseline("gaussian", gain - 3), baseline("kernels", gain), unit=unit)
    assert verdict(compared, 0, True)[0] == state
    assert words in verdict(compared, 0, True)[1]


def test_the_true_density_is_no_rival():
    compared = likelihood(ROWS, baseline("gaussian", -1.0), baseline("truth", 5.0))
    state, sentence = verdict(compared, 0, True)
    assert state == "good"
    assert "(Gaussian, full covariance)" in sentence
    assert [b["name"] for b in compared["baselines"]] == ["Gaussian, full covariance", "True density"]


@pytest.mark.parametrize(
    ("samples_not_finite", "check_passed", "words"),
    [(0, False, "A numerical check failed"), (3, True, "Some of its samples are not finite")],
)
def test_broken_numerics_outweigh_the_likelihood(samples_not_finite, check_passed, words):
    state, sentence = verdict(likelihood(ROWS, baseline("gaussian", -1.0)), samples_not_finite, check_passed)
    assert state == "bad"
    assert words in sentence


def test_a_row_without_density_is_not_averaged_away():
    nats = ROWS.copy()
    nats[:2] = -math.inf
    state, sentence = verdict(likelihood(nats, baseline("gaussian", -1.0)), 0, True)
    assert (state, sentence[:38]) == ("bad", "2 of 200 held-out rows have density ze")


def test_few_rows_decide_nothing():
    few = Baseline("gaussian", "", ROWS[:5] - 1 + 0.01 * np.arange(5), 0.0)
    state, sentence = verdict(likelihood(ROWS[:5], few), 0, True)
    assert state == "fair"
    assert "so few rows allow no conclusion" in sentence
