"""The steps since the last look at a run."""

import pytest

from pushforward.training.window import Window


def test_recent_is_the_mean_of_the_last_hundred_steps() -> None:
    window = Window(lambda: 0.0)
    assert window.recent() is None
    for step in range(150):
        window.add(float(step), 1.0)
    assert window.recent() == pytest.approx(sum(range(50, 150)) / 100)
    assert window.value() == pytest.approx(sum(range(150)) / 150)


def test_a_round_does_not_count_for_the_pace_and_the_last_figures_stay_until_the_next_step() -> None:
    now = [0.0]
    window = Window(lambda: now[0])
    assert window.steps_per_second(0) is None
    window.add(3.0, 1.0)
    now[0] = 2.0
    window.close(4)
    now[0] = 10.0
    assert window.steps_per_second(4) == pytest.approx(2.0)
    window.restart(4)
    assert (window.recent(), window.value(), window.steps_per_second(4)) == (3.0, None, pytest.approx(2.0))
    now[0] = 11.0
    assert window.steps_per_second(5) == pytest.approx(1.0)
