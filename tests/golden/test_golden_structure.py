"""Positive numbers, angles, shapes and a torus of known density against numpy and mpmath."""

import math

import mpmath
import numpy as np
import torch
from scipy.stats import vonmises

from checking import golden
from pushforward.transforms.base import Transform
from registry import BY_NAME
from subjects import subject

mpmath.mp.dps = 40


def _assert_map(transform: Transform, x: torch.Tensor, z: np.ndarray, log_slope: np.ndarray) -> None:
    """Both directions against latents and log-slopes ``(B, D)`` from elsewhere."""
    found, log_term = transform.to_latent(x)
    np.testing.assert_allclose(found.numpy(), z, atol=1e-10, rtol=1e-12)
    np.testing.assert_allclose(log_term.numpy(), log_slope.sum(1), atol=1e-10, rtol=1e-12)
    back, back_term = transform.to_data(torch.from_numpy(z))
    np.testing.assert_allclose(back.numpy(), x.numpy(), atol=1e-10, rtol=1e-12)
    np.testing.assert_allclose(back_term.numpy(), -log_slope.sum(1), atol=1e-10, rtol=1e-12)


@golden("transform: logarithm")
def test_logarithm_of_the_distance_from_the_bound() -> None:
    made = subject(BY_NAME["transform: logarithm"])
    x = made.data(20)
    _assert_map(made.transform, x, np.log(x.numpy() + 1), -np.log(x.numpy() + 1))


@golden("transform: bounds")
def test_bounds_are_a_logit_and_logarithms_of_distances() -> None:
    made = subject(BY_NAME["transform: bounds"])
    x = made.data(20)
    a, b, c, d = x.numpy().T
    z = np.stack([np.log((a + 1) / (3 - a)), np.log(b), -np.log(2 - c), d], 1)
    slopes = [np.log(4 / ((a + 1) * (3 - a))), -np.log(b), -np.log(2 - c), np.zeros(20)]
    _assert_map(made.transform, x, z, np.stack(slopes, 1))


@golden("transform: inverse softplus")
def test_inverse_softplus_near_the_bound_and_far_from_it() -> None:
    made = subject(BY_NAME["transform: inverse softplus"])
    x = made.data(20)
    x[0], x[1] = torch.tensor([1e-12, 1e3]), torch.tensor([20.5, 36.0])
    wide = [[mpmath.mpf(float(value)) for value in row] for row in x]
    z = np.array([[float(mpmath.log(mpmath.expm1(v))) for v in row] for row in wide])
    log_slope = np.array([[float(-mpmath.log(-mpmath.expm1(-v))) for v in row] for row in wide])
    _assert_map(made.transform, x, z, log_slope)


@golden("transform: angles")
def test_hours_as_angles() -> None:
    made = subject(BY_NAME["transform: angles"])
    x = made.data(20)
    x[0] = torch.tensor([0.0, 12.0])
    z = np.radians(x.numpy() * 15 - 180)
    np.testing.assert_allclose(z[0], [-np.pi, 0.0])
    _assert_map(made.transform, x, z, np.full((20, 2), math.log(2 * math.pi / 24)))


@golden("flow: known torus")
def test_known_torus_has_its_density_a_degree() -> None:
    made = subject(BY_NAME["flow: known torus"], stage="start")
    x = made.data(30)
    a, b = np.radians(x.numpy()).T
    conditional = vonmises(4.0).logpdf(b - np.pi + np.radians(40) + np.pi / 4 * np.cos(a - np.pi))
    wanted = vonmises(2.0, np.radians(30)).logpdf(a) + conditional + 2 * math.log(math.pi / 180)
    # The weights are rounded to float32.
    np.testing.assert_allclose(made.flow.log_prob(x).detach().numpy(), wanted, atol=1e-6)
