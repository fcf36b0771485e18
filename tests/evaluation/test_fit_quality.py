"""The measures of a fit: each speaks for a planted fault, and none for a right model."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from pushforward.array_types import Array
from pushforward.errors import DataError, ShapeError
from pushforward.evaluation.fit_quality import FitEvidence, FitQuality, assess_fit
from pushforward.evaluation.fit_quality.classifier import two_samples
from pushforward.evaluation.fit_quality.resampling import count_of_independent, systematic
from pushforward.evaluation.verdict import State

ROWS, HELD_OUT, SAMPLES = 1000, 600, 2000


def log_normal(x: Array, scale: float = 1.0) -> Array:
    """The log-density of a centred Gaussian."""
    return np.asarray((-0.5 * np.square(x / scale) - np.log(scale) - 0.5 * np.log(2 * np.pi)).sum(1))


def right(seed: int = 0, columns: int = 2) -> FitEvidence:
    """Evidence of a Gaussian on rows that come from it."""
    from scipy.special import ndtr

    rng = np.random.default_rng(seed)
    train, held_out, samples = (rng.normal(size=(n, columns)) for n in (ROWS, HELD_OUT, SAMPLES))
    return FitEvidence(
        log_normal(held_out),
        log_normal(train),
        log_normal(samples),
        train,
        held_out,
        samples,
        latents=ndtr(held_out),
        rivals={"mixture": log_normal(held_out, 1.1)},
    )


def measures(quality: FitQuality) -> set[str]:
    """The measures that speak against the model."""
    return {f.measure for f in quality.findings if f.state(quality.level) is not State.GOOD}


def of_rows(evidence: FitEvidence, held_out: Array) -> FitEvidence:
    """The evidence of the same Gaussian on other held-out rows."""
    from scipy.special import ndtr

    rivals = {"mixture": log_normal(held_out, 1.1)}
    return replace(
        evidence, held_out=held_out, log_held_out=log_normal(held_out), latents=ndtr(held_out), rivals=rivals
    )


def test_a_right_model_is_good_and_every_number_is_in_the_result() -> None:
    quality = assess_fit(right())
    assert str(quality.verdict) == "fit: good"
    numbers = json.loads(json.dumps(quality.to_json(), allow_nan=False))
    assert numbers["state"] == "good"
    assert len(numbers["measures"]) == len(quality.findings) == 12
    assert numbers["measures"]["classifier"]["interval"][0] < 0.5 < numbers["measures"]["classifier"]["interval"][1]
    assert numbers["measures"]["tails"]["quantiles"][1]["0.995"]["held_out"] == pytest.approx(2.58, abs=0.5)


def test_the_levels_of_all_measures_hold_together() -> None:
    states = [assess_fit(right(seed), seed).verdict.state for seed in range(20)]
    assert states.count(State.GOOD) >= 19


def test_a_wrong_marginal_is_named_by_its_column() -> None:
    evidence = right()
    shifted = evidence.held_out + np.array([0.0, 0.5])
    quality = assess_fit(replace(of_rows(evidence, shifted), names=("a", "b")))
    assert {"marginals", "latents"} <= measures(quality)
    assert any("the marginal of b is off" in reason for reason in quality.verdict.reasons)


def test_a_classifier_names_the_columns_that_give_samples_away() -> None:
    evidence = right(columns=4)
    samples = evidence.samples.copy()
    samples[:, 3] = np.round(samples[:, 3], 1)
    samples[:, 2] = samples[:, 3]
    quality = assess_fit(replace(evidence, samples=samples))
    (finding,) = [f for f in quality.findings if f.measure == "classifier"]
    assert finding.size > 0.8
    assert set(finding.values["columns"]) <= {"column 2", "column 3"}


def test_a_classifier_works_beside_a_column_that_no_row_has_a_value_of() -> None:
    evidence = right()
    held_out, samples = evidence.held_out.copy(), evidence.samples.copy()
    held_out[:, 1], samples[:, 1] = np.nan, np.nan
    (finding,) = two_samples(replace(evidence, held_out=held_out, samples=samples), np.random.default_rng(0))
    assert finding.size == pytest.approx(0.5, abs=0.1)


def test_a_lost_mode_shows_against_a_rival_and_by_low_density() -> None:
    evidence = right()
    held_out = evidence.held_out.copy()
    held_out[:12] = 6 + 0.3 * held_out[:12]
    changed = of_rows(evidence, held_out)
    changed = replace(changed, rivals={"mixture": np.maximum(log_normal(held_out), -8.0)})
    assert {"rival_rows", "low_density"} <= measures(assess_fit(changed))
    without = assess_fit(replace(changed, rivals={}, log_samples=None))
    assert not {"rival_rows", "low_density"} & {finding.measure for finding in without.findings}


def test_a_better_rival_is_named_with_its_advantage() -> None:
    evidence = right()
    quality = assess_fit(
        replace(evidence, rivals={"mixture": evidence.log_held_out + 0.3 + 0.1 * evidence.latents[:, 0]})
    )
    assert quality.verdict.state is State.CARE
    assert quality.verdict.reasons == ("the mixture is better by 0.35 nats a row",)


def test_light_tails_are_named_with_their_side() -> None:
    evidence = right()
    x = evidence.held_out[:, 0]
    longer = np.stack([np.where(x > 1.5, 1.5 + 4 * (x - 1.5), x), evidence.held_out[:, 1]], 1)
    quality = assess_fit(of_rows(evidence, longer))
    assert "tails" in measures(quality)
    assert any("the upper tail of column 0 is too light" in reason for reason in quality.verdict.reasons)


@pytest.mark.parametrize(("nats", "state"), [(0.1, State.GOOD), (1.0, State.CARE), (4.0, State.REFUSE)])
def test_the_gap_to_the_training_rows_counts_by_its_nats(nats: float, state: State) -> None:
    evidence = right()
    verdict = assess_fit(replace(evidence, log_train=evidence.log_train + nats)).verdict
    assert verdict.state is state
    rows = f"(a mean of {len(evidence.log_train):,} training rows)"
    assert all(rows in reason for reason in verdict.reasons)


def test_memorised_rows_and_copies_are_told_apart() -> None:
    evidence = right()
    near = np.resize(evidence.train, (SAMPLES, 2)) + 1e-3
    assert measures(assess_fit(replace(evidence, samples=near))) >= {"memorisation"}
    both = evidence.held_out.copy()
    both[:60] = evidence.train[:60]
    quality = assess_fit(of_rows(evidence, both))
    assert measures(quality) == {"copies"}
    assert "10 % of the held-out rows are copies" in quality.verdict.reasons[0]


def test_coverage_and_latents_see_a_wrong_scale() -> None:
    evidence = right()
    quality = assess_fit(of_rows(evidence, 1.4 * evidence.held_out))
    assert {"coverage", "latents"} <= measures(quality)


def test_dependent_latents_are_seen_where_each_one_is_right() -> None:
    evidence = right()
    u = evidence.latents.copy()
    u[:, 1] = (u[:, 0] + 0.2 * u[:, 1]) % 1
    quality = assess_fit(replace(evidence, latents=u))
    assert "latent_dependence" in measures(quality)
    assert not {"coverage", "marginals"} & measures(quality)


def test_rows_of_density_zero_and_not_a_number_are_counted() -> None:
    evidence = right()
    for value, state in ((-np.inf, State.CARE), (np.nan, State.REFUSE)):
        log_density = evidence.log_held_out.copy()
        log_density[0] = value
        assert assess_fit(replace(evidence, log_held_out=log_density)).verdict.state is state


def test_few_rows_and_best_step_zero_are_reasons_for_care() -> None:
    quality = assess_fit(FitEvidence(np.zeros(20), best_step=0))
    assert quality.verdict.state is State.CARE
    assert [reason.split(" (")[0].split(":")[0] for reason in quality.verdict.reasons] == [
        "training never improved on its start",
        "only 20 held-out rows",
    ]


def test_weights_count_rows_as_often_as_they_say() -> None:
    evidence, rng = right(), np.random.default_rng(1)
    # Rows of a wider Gaussian, whose weights make them rows of the right one.
    held_out = 1.5 * rng.normal(size=(3000, 2))
    weights = np.exp(log_normal(held_out) - log_normal(held_out, 1.5))
    wide = of_rows(evidence, held_out)
    assert assess_fit(replace(wide, weights=weights)).verdict.state is State.GOOD
    assert assess_fit(wide).verdict.state is not State.GOOD


def test_equal_and_missing_values_are_no_fault() -> None:
    rng = np.random.default_rng(0)

    def rows(n: int) -> Array:
        x = rng.poisson(1.0, size=(n, 2)).astype(float)
        x[rng.random(n) < 0.1, 1] = np.nan
        return x

    train, held_out, samples = rows(ROWS), rows(HELD_OUT), rows(SAMPLES)
    quality = assess_fit(FitEvidence(np.zeros(HELD_OUT), None, np.zeros(SAMPLES), train, held_out, samples))
    assert quality.verdict.state is State.GOOD, str(quality.verdict)


def test_parts_of_different_lengths_are_refused() -> None:
    with pytest.raises(ShapeError, match="latents has 3 rows, but log_held_out has 4"):
        FitEvidence(np.zeros(4), latents=np.zeros((3, 1)))
    with pytest.raises(ShapeError, match="sample for the context"):
        FitEvidence(np.zeros(4), samples=np.zeros((3, 1)), context=np.zeros((4, 1)))


def test_uneven_weights_leave_many_rows_and_their_distribution() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=20_000)
    weights = np.exp(x)  # of the normal distribution with mean 1
    count = count_of_independent(weights)
    assert count > 2 * weights.sum() / weights.max()
    mean = np.mean([x[systematic(weights, count, rng)].mean() for _ in range(20)])
    assert abs(mean - 1) < 0.05
    assert systematic(np.ones(7), 7, rng).tolist() == list(range(7))


def test_equal_values_in_different_contexts_are_no_copies() -> None:
    rng = np.random.default_rng(0)
    c_train, c_held = rng.normal(size=(1000, 2)), rng.normal(size=(500, 2))
    train, held_out, samples = (rng.normal(size=(n, 1)) for n in (1000, 500, 500))
    evidence = FitEvidence(
        np.zeros(500),
        train=train.round(1),
        held_out=held_out.round(1),
        samples=samples,
        context=c_held,
        train_context=c_train,
    )
    assert "copies" not in measures(assess_fit(evidence))
    held_out[:50], c_held[:50] = train[:50].round(1), c_train[:50]
    evidence = replace(evidence, held_out=held_out, context=c_held)
    assert "copies" in measures(assess_fit(evidence))


def test_weights_that_are_none_are_refused() -> None:
    for weights in ([1.0, -1.0], [np.nan, 1.0], [0.0, 0.0]):
        with pytest.raises(DataError, match="weights: numbers of 0 or above"):
            FitEvidence(np.zeros(2), weights=np.array(weights))
