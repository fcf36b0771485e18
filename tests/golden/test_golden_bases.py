"""Learned bases against mpmath and numpy written from their textbook densities, with the same weights."""

import mpmath
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import multivariate_normal

from checking import golden
from pushforward.bases import Base
from registry import BY_NAME
from subjects import Subject, subject

mpmath.mp.dps = 40
Array = NDArray[np.float64]
_LIMIT = 10.0


def _made(name: str) -> tuple[Subject, dict[str, Array], Array]:
    made = subject(BY_NAME[name])
    weights = {key: value.detach().numpy() for key, value in made.flow.base.state_dict().items()}
    return made, weights, made.data(20).numpy()


def _scale(raw: Array) -> Array:
    return np.exp(raw / (1 + np.abs(raw) / _LIMIT))


def _assert_log_density(base: Base, z: Array, wanted: Array | list[float]) -> None:
    np.testing.assert_allclose(base.log_prob(torch.from_numpy(z)).detach().numpy(), wanted, atol=1e-10, rtol=1e-12)


@golden("base: learned normal")
def test_learned_normal_is_a_normal_density() -> None:
    made, w, z = _made("base: learned normal")
    wanted = multivariate_normal(w["mean"], np.diag(_scale(w["raw_scale"]) ** 2)).logpdf(z)
    _assert_log_density(made.flow.base, z, wanted)


@golden("base: Gaussian mixture")
def test_gaussian_mixture_is_the_weighted_sum_of_normal_densities() -> None:
    made, w, z = _made("base: Gaussian mixture")
    weights = np.exp(w["logits"]) / np.exp(w["logits"]).sum()
    density = np.zeros(len(z))
    for k, weight in enumerate(weights):
        factor = np.diag(1 / _scale(w["raw_scale"][k]))
        factor[1, 0] = w["below.entries"][k, 0]
        covariance = np.linalg.inv(factor.T @ factor)
        density += weight * multivariate_normal(w["means"][k], (covariance + covariance.T) / 2).pdf(z)
    _assert_log_density(made.flow.base, z, np.log(density))


@golden("base: Student t")
def test_student_t_is_the_textbook_density() -> None:
    made, w, z = _made("base: Student t")

    def log_density(value: float, i: int) -> float:
        freedom = 1 + mpmath.log(1 + mpmath.exp(mpmath.mpf(float(w["raw_freedom"][i]))))
        scale = mpmath.mpf(float(_scale(w["raw_scale"])[i]))
        y = (mpmath.mpf(value) - mpmath.mpf(float(w["location"][i]))) / scale
        density = mpmath.gamma((freedom + 1) / 2) / (mpmath.sqrt(freedom * mpmath.pi) * mpmath.gamma(freedom / 2))
        return float(mpmath.log(density * (1 + y**2 / freedom) ** (-(freedom + 1) / 2) / scale))

    z[0] = [1e20, -1e8]  # the tails, where a square of the value would be too large for float32
    _assert_log_density(made.flow.base, z, [sum(log_density(float(row[i]), i) for i in range(2)) for row in z])


@golden("base: von Mises")
def test_von_mises_is_the_textbook_density() -> None:
    made, w, z = _made("base: von Mises")
    # The second concentration so high that the Bessel function itself overflows float64.
    with torch.no_grad():
        made.flow.base.get_parameter("raw_concentration")[1] = 2000.0
    raw = np.array([w["raw_concentration"][0], 2000.0])

    def log_density(value: float, i: int) -> float:
        k = mpmath.log(1 + mpmath.exp(mpmath.mpf(float(raw[i]))))
        distance = mpmath.mpf(value) - mpmath.mpf(float(w["location"][i]))
        return float(k * mpmath.cos(distance) - mpmath.log(2 * mpmath.pi * mpmath.besseli(0, k)))

    _assert_log_density(made.flow.base, z, [sum(log_density(float(row[i]), i) for i in range(2)) for row in z])
