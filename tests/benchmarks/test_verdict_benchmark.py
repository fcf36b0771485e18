"""The calibration of the verdict: its densities are densities, and one repetition of each fault is not called good."""

from __future__ import annotations

import numpy as np
import pytest
import verdict

from pushforward.evaluation.verdict import State

FAULTS = [name for name, scenario in verdict.SCENARIOS.items() if not scenario.right]


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_not_called_good(name: str) -> None:
    _, quality = verdict.judge((name, 2000, 1))
    assert quality.verdict.state is not State.GOOD


def test_light_tails_keep_the_mass_of_the_tails_and_integrate_to_one() -> None:
    light, rng = verdict.LightTails(), np.random.default_rng(0)
    x = np.linspace(-12, 12, 20_001)
    density = np.exp(light.logpdf(x))
    assert np.trapezoid(density, x) == pytest.approx(1, abs=1e-6)
    assert np.interp([-4.0, 0.0, 2.0, 3.5], x, np.cumsum(density) * (x[1] - x[0])) == pytest.approx(
        light.cdf(np.array([-4.0, 0.0, 2.0, 3.5])), abs=2e-3
    )
    drawn = light.rvs(20_000, rng)
    assert (np.abs(drawn) > 3).mean() == pytest.approx(2 * light.body.sf(3), abs=0.006)


def test_memorised_rows_have_their_kernels_density() -> None:
    train = np.random.default_rng(0).normal(size=(5, 2))
    model = verdict.memorised(train, width=0.3)
    scale = 0.3 * train.std(0)
    x = train[:1] + 0.1
    kernels = np.exp(-0.5 * np.square((x - train) / scale).sum(1)) / (2 * np.pi * scale.prod())
    assert model.log_density(x, x)[0] == pytest.approx(np.log(kernels.mean()), abs=1e-3)
