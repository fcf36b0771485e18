"""The energies against the paper's table written in numpy, and their integrals against another quadrature."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from pushforward import flows
from pushforward.errors import OptionError, ShapeError
from pushforward.inference import energies, importance


def energy(name: str, z: np.ndarray) -> np.ndarray:
    """Table 1 of the paper."""
    z1, z2 = z[:, 0], z[:, 1]
    w1 = np.sin(2 * np.pi * z1 / 4)
    w2 = 3 * np.exp(-0.5 * ((z1 - 1) / 0.6) ** 2)
    w3 = 3 / (1 + np.exp(-(z1 - 1) / 0.3))
    if name == "U1":
        sides = np.exp(-0.5 * ((z1 - 2) / 0.6) ** 2) + np.exp(-0.5 * ((z1 + 2) / 0.6) ** 2)
        return 0.5 * ((np.sqrt(z1**2 + z2**2) - 2) / 0.4) ** 2 - np.log(sides)
    if name == "U2":
        return 0.5 * ((z2 - w1) / 0.4) ** 2
    if name == "U3":
        return -np.log(np.exp(-0.5 * ((z2 - w1) / 0.35) ** 2) + np.exp(-0.5 * ((z2 - w1 + w2) / 0.35) ** 2))
    return -np.log(np.exp(-0.5 * ((z2 - w1) / 0.4) ** 2) + np.exp(-0.5 * ((z2 - w1 + w3) / 0.35) ** 2))


@pytest.mark.parametrize("name", energies.ENERGIES)
def test_the_energy_is_that_of_the_paper_in_the_box_and_nothing_outside(name: str) -> None:
    z = np.random.default_rng(0).uniform(-4, 4, (200, 2))
    found = energies.log_density(name)(torch.from_numpy(z))
    np.testing.assert_allclose(found.numpy(), -energy(name, z), rtol=1e-12, atol=1e-12)
    outside = torch.tensor([[4.1, 0.0], [0.0, -5.0], [math.inf, 0.0], [math.nan, 0.0]])
    assert energies.log_density(name)(outside).tolist()[:3] == [-math.inf] * 3
    assert energies.log_density(name)(outside)[3].isnan()


@pytest.mark.parametrize("name", energies.ENERGIES)
def test_the_integral_is_that_of_one_high_order_rule(name: str) -> None:
    points, weights = np.polynomial.legendre.leggauss(500)
    z = 4 * np.stack(np.meshgrid(points, points, indexing="ij"), -1).reshape(-1, 2)
    total = 16 * np.sum(np.exp(-energy(name, z)) * np.outer(weights, weights).reshape(-1))
    assert energies.log_normaliser(name) == pytest.approx(math.log(total), abs=1e-8)


def test_a_flow_on_the_box_starts_uniform_and_finds_the_integral() -> None:
    flow = energies.on_box(flows.build("nice", (2,), base="logistic", transforms=2).double())
    x, log_q = flow.sample_and_log_prob(1000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(log_q, torch.full_like(log_q, -math.log(64)))
    assert x.abs().max() < 4
    found = importance(flow, energies.log_density("U1"), samples=20_000)
    assert abs(found.log_normaliser - energies.log_normaliser("U1")) < 4 * found.standard_error
    assert found.elbo < energies.log_normaliser("U1")
    assert found.outside == 0


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(OptionError, match="energy 'U5' is not known; expected one of U1, U2, U3, U4"):
        energies.log_density("U5")
    with pytest.raises(ShapeError, match=r"event_shape \(2,\) expected, got \(3,\)"):
        energies.on_box(flows.build("nice", (3,)))
