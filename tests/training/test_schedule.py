"""Limits, learning rate and validation cadence."""

from __future__ import annotations

import pytest

from pushforward.training import TrainingOptions
from pushforward.training.schedule import Budget, Cadence, learning_rate


def budget(rows=1000, batch=100, **options):
    return Budget.of(TrainingOptions(**options), rows, batch)


def test_cosine_falls_from_the_full_rate_to_zero():
    options = TrainingOptions(lr=2.0)
    assert learning_rate(options, 0, 0.0) == 2.0
    assert learning_rate(options, 50, 0.5) == pytest.approx(1.0)
    assert learning_rate(options, 100, 1.0) == pytest.approx(0.0, abs=1e-12)


def test_warm_up_rises_linearly_and_a_constant_schedule_stays():
    options = TrainingOptions(lr=1.0, warmup_steps=4, schedule="constant")
    assert [learning_rate(options, step, 0.3) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_fraction_follows_the_nearest_limit():
    limits = budget(steps=100, epochs=5, minutes=1)
    assert limits.last_step == 50
    assert limits.fraction(10, 6.0) == pytest.approx(0.2)
    assert limits.fraction(10, 30.0) == pytest.approx(0.5)
    assert limits.fraction(999, 0.0) == 1.0


def test_time_fraction_reaches_one_when_only_the_reserve_is_left():
    limits = budget(minutes=1)
    limits.reserve = 12.0
    assert limits.fraction(5, 24.0) == pytest.approx(0.5)
    assert limits.fraction(5, 48.0) == 1.0


def test_exhausted_names_the_limit_that_was_reached():
    assert budget(steps=10, epochs=100).exhausted(10, 0.0) == "steps"
    assert budget(steps=1000, epochs=1).exhausted(10, 0.0) == "epochs"
    timed = budget(minutes=1)
    timed.reserve = 10.0
    assert timed.exhausted(10, 40.0, step_seconds=5.0) is None
    assert timed.exhausted(10, 46.0, step_seconds=5.0) == "minutes"


def test_epochs_are_counted_in_rows_not_in_rounded_batches():
    assert budget(rows=150, batch=100, epochs=2).epoch_steps == 3


def test_time_left_is_by_the_nearest_limit():
    assert budget(steps=100).left(10, 5.0) == pytest.approx(45.0)
    assert budget(steps=100, minutes=0.5).left(10, 5.0) == pytest.approx(25.0)
    assert budget(steps=100).left(0, 5.0) is None
    assert budget(steps=100).left(100, 5.0) == 0.0


def test_cadence_without_a_time_limit_is_a_number_of_steps():
    options = TrainingOptions(steps=1000)
    assert Cadence.of(options, budget(steps=1000), 30, 100).steps == 20
    # 6,000 validation rows cost as much as 20 steps of 100 rows, and may be a tenth of the work.
    assert Cadence.of(options, budget(steps=1000), 6000, 100).steps == 200


def test_cadence_with_a_time_limit_follows_the_cost_of_a_round():
    limits = budget(minutes=1)
    cadence = Cadence.of(TrainingOptions(minutes=1), limits, 100, 100)
    cadence.follow_cost(limits, 0.01)
    assert cadence.seconds == pytest.approx(60 / 50)
    cadence.follow_cost(limits, 2.0)
    assert cadence.seconds == pytest.approx(20.0)
    assert not cadence.due(10_000, 19.0)
    assert cadence.due(1, 20.0)


def test_cadence_as_asked_for_holds_in_a_run_limited_by_time():
    cadence = Cadence.of(TrainingOptions(minutes=1, validate_every=7), budget(minutes=1), 100, 100)
    assert not cadence.due(6, 1e9)
    assert cadence.due(7, 0.0)
