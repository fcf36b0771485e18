"""Held-out likelihoods beside those of baselines, and the sentence about them."""

import math

import numpy as np
import pytest

from pushforward.evaluation.baselines import Baseline
from pushforward.evaluation.fit_quality import FitEvidence, assess_fit
from pushforward.evaluation.likelihood_comparison import compare_likelihoods, comparison_in_words
from pushforward.evaluation.scores import Scores
from pushforward.evaluation.verdict import State, Verdict, verdict_of

ROWS = np.random.default_rng(0).normal(size=200)


def scores(nats: np.ndarray) -> Scores:
    return Scores(nats, "exact", False, None, "exact")


def likelihood(nats: np.ndarray, *baselines: Baseline, unit: str = "nats") -> dict:
    return compare_likelihoods(scores(nats), scores(nats), baselines, unit, 4)


def baseline(role: str, gain: float) -> Baseline:
    """A baseline whose log-likelihoods lie ``gain`` above those of the flow, with a little noise."""
    return Baseline(role, "", ROWS + gain + 0.01 * np.random.default_rng(1).normal(size=200), 0.0)


def fit_of(nats: np.ndarray, *baselines: Baseline) -> Verdict:
    """The verdict on a fit with these log-likelihoods, by nothing but its baselines."""
    return assess_fit(FitEvidence(nats, rivals={b.rival: b.nats for b in baselines if b.rival})).verdict


@pytest.mark.parametrize(
    ("gain", "state", "words"),
    [
        (-1.0, State.GOOD, "better than the best baseline (kernel density)"),
        (1.0, State.REFUSE, "worse than the best baseline (kernel density)"),
        (0.0, State.GOOD, "no clear difference from the best baseline (kernel density"),
    ],
)
@pytest.mark.parametrize("unit", ["nats", "bits/dim"])
def test_the_best_baseline_decides_in_every_unit(gain, state, words, unit):
    baselines = baseline("gaussian", gain - 3), baseline("kernels", gain)
    assert words in comparison_in_words(likelihood(ROWS, *baselines, unit=unit))
    verdict = fit_of(ROWS, *baselines)
    assert verdict.state is state
    assert [reason[:30] for reason in verdict.reasons] == ["the kernel density is better b"] * (gain > 0)


def test_the_true_density_is_no_rival():
    baselines = baseline("gaussian", -1.0), baseline("truth", 5.0)
    compared = likelihood(ROWS, *baselines)
    assert fit_of(ROWS, *baselines).state is State.GOOD
    assert "(Gaussian, full covariance)" in comparison_in_words(compared)
    assert [b["name"] for b in compared["baselines"]] == ["Gaussian, full covariance", "True density"]


def test_a_row_without_density_is_not_averaged_away():
    nats = ROWS.copy()
    nats[:2] = -math.inf
    assert "2 of 200 held-out rows have density zero" in comparison_in_words(likelihood(nats, baseline("gaussian", -1)))
    verdict = fit_of(nats, baseline("gaussian", -1.0))
    assert verdict.state is State.REFUSE
    assert verdict.reasons[0] == "2 of 200 held-out rows have density zero"


def test_few_rows_decide_nothing():
    few = Baseline("gaussian", "", ROWS[:5] - 1 + 0.01 * np.arange(5), 0.0)
    verdict = fit_of(ROWS[:5], few)
    assert verdict.state is State.CARE
    assert verdict.reasons == ("only 5 held-out rows: a fault could stay unseen",)


def test_a_verdict_has_the_worst_state_and_the_worst_reasons_first():
    grounds = [(State.GOOD, "a"), (State.CARE, "b"), (State.REFUSE, "c")]
    verdict = verdict_of("fit", grounds)
    assert str(verdict) == "fit: do not use (c; b)"
    assert verdict_of("fit", grounds[:1]).against(State.CARE, "d").to_json() == {
        "state": "use with care",
        "reasons": ["d"],
    }
