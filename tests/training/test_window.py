"""The steps since the last look at a run."""

import pytest

from pushforward.training.window import Window


def test_recent_is_the_mean_of_the_last_hundred_steps() -> None:
    window = Window(lambda: 0.0, 0)
    assert window.recent() is None
    for step in range(150):
        window.add(float(step), 1.0)
    assert window.recent() == pytest.approx(sum(range(50, 150)) / 100)
    assert window.value() == pytest.approx(sum(range(150)) / 150)
