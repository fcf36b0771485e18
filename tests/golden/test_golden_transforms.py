"""Transforms against numpy and mpmath written from the papers, with the same weights."""

import math

import mpmath
import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from checking import golden
from formulas import as_numpy, weights_of
from pushforward.transforms import BatchNorm, Coupling, Dequantise, Logit, Squeeze
from registry import BY_NAME
from subjects import subject

mpmath.mp.dps = 50


@golden("transform: coupling, half")
def test_affine_coupling_is_equations_4_to_8_of_real_nvp() -> None:
    made = subject(BY_NAME["transform: coupling, half"])
    assert isinstance(made.transform, Coupling)
    w, x = weights_of(made), as_numpy(made.data(20))
    kept, changed = x[:, :1], x[:, 1:]
    h = kept
    for layer in ("net.layers.0", "net.layers.1"):
        h = np.tanh(h @ w[f"{layer}.weight"].T + w[f"{layer}.bias"])
    out = h @ w["net.last.weight"].T + w["net.last.bias"]
    t, s = out[:, :2], w["map.log_scale.rescale"] * np.tanh(out[:, 2:])
    wanted = np.concatenate([kept, changed * np.exp(s) + t], 1)
    z, log_term = made.transform.to_latent(made.data(20))
    np.testing.assert_allclose(as_numpy(z), wanted, atol=1e-10)
    np.testing.assert_allclose(as_numpy(log_term), s.sum(1), atol=1e-10)
    x_back, back_term = made.transform.to_data(torch.from_numpy(wanted))
    np.testing.assert_allclose(as_numpy(x_back), x, atol=1e-10)
    np.testing.assert_allclose(as_numpy(back_term), -s.sum(1), atol=1e-10)


@golden("transform: batch norm")
def test_batch_normalisation_is_section_3_7_of_real_nvp() -> None:
    made = subject(BY_NAME["transform: batch norm"])
    assert isinstance(made.transform, BatchNorm)
    x, eps = as_numpy(made.data(30)), made.transform.eps
    w = weights_of(made)
    z, log_term = made.transform.to_latent(made.data(30))
    np.testing.assert_allclose(as_numpy(z), (x - w["running_mean"]) / np.sqrt(w["running_var"] + eps), atol=1e-10)
    np.testing.assert_allclose(as_numpy(log_term), -0.5 * np.log(w["running_var"] + eps).sum(), atol=1e-10)
    # In training the moments are the batch's, and the running ones move towards them by the momentum.
    made.transform.train()
    z, log_term = made.transform.to_latent(made.data(30))
    np.testing.assert_allclose(as_numpy(z), (x - x.mean(0)) / np.sqrt(x.var(0) + eps), atol=1e-10)
    np.testing.assert_allclose(as_numpy(log_term), -0.5 * np.log(x.var(0) + eps).sum(), atol=1e-10)
    after = weights_of(made)
    np.testing.assert_allclose(after["running_mean"], 0.9 * w["running_mean"] + 0.1 * x.mean(0), atol=1e-10)
    np.testing.assert_allclose(after["running_var"], 0.9 * w["running_var"] + 0.1 * x.var(0), atol=1e-10)


def test_lagged_batch_normalisation_is_equations_of_appendix_e() -> None:
    norm = BatchNorm((2,), momentum=0.25, lag=True).double()
    x = np.random.default_rng(0).normal(2.0, 3.0, (40, 2))
    norm.train()
    z, _ = norm.to_latent(torch.from_numpy(x))
    mean, var = 0.25 * x.mean(0), 0.75 + 0.25 * x.var(0)
    np.testing.assert_allclose(as_numpy(z), (x - mean) / np.sqrt(var + norm.eps), atol=1e-10)


@golden("transform: squeeze, ordered")
def test_ordered_squeeze_is_the_authors_permutation() -> None:
    # The authors' squeeze_2x2_ordered: top left, bottom right, top right, bottom left; each for all channels in turn.
    x = torch.arange(2 * 3 * 4 * 6, dtype=torch.float64).reshape(2, 3, 4, 6)
    wanted = np.concatenate([as_numpy(x)[:, :, i::2, j::2] for i, j in ((0, 0), (1, 1), (0, 1), (1, 0))], 1)
    z, log_term = Squeeze((3, 4, 6), ordered=True).to_latent(x)
    np.testing.assert_array_equal(as_numpy(z), wanted)
    np.testing.assert_array_equal(as_numpy(log_term), 0)


@golden("transform: squeeze")
def test_plain_squeeze_keeps_the_positions_of_a_channel_together() -> None:
    x = torch.arange(2 * 2 * 2 * 4, dtype=torch.float64).reshape(2, 2, 2, 4)
    blocks = [as_numpy(x)[:, c, i::2, j::2] for c in range(2) for i in range(2) for j in range(2)]
    z, _ = Squeeze((2, 2, 4)).to_latent(x)
    np.testing.assert_array_equal(as_numpy(z), np.stack(blocks, 1))


@golden("transform: logit", "transform: logit, alpha 0")
@pytest.mark.parametrize("alpha", [0.0, 1e-6, 0.05, 0.3])
def test_logit_and_its_log_term_in_50_digits(alpha: float) -> None:
    y = [0.001, 0.25, 0.5, 0.999, 1 - 1e-9]
    wanted, terms = [], []
    for value in y:
        s = mpmath.mpf(alpha) + (1 - 2 * mpmath.mpf(alpha)) * mpmath.mpf(value)
        wanted.append(float(mpmath.log(s / (1 - s))))
        terms.append(float(mpmath.log((1 - 2 * mpmath.mpf(alpha)) / (s * (1 - s)))))
    x = torch.tensor(y, dtype=torch.float64)[:, None]
    z, log_term = Logit((1,), alpha).to_latent(x)
    # Near 1 the last digit of the input itself is worth 1e-7 of the logit; the bar holds where it does not decide.
    np.testing.assert_allclose(as_numpy(z)[:4, 0], wanted[:4], atol=1e-10)
    np.testing.assert_allclose(as_numpy(log_term)[:4], terms[:4], atol=1e-10)
    np.testing.assert_allclose(as_numpy(z)[4:, 0], wanted[4:], atol=1e-6)
    back, back_term = Logit((1,), alpha).to_data(z[:4])
    np.testing.assert_allclose(as_numpy(back)[:, 0], y[:4], atol=1e-10)
    np.testing.assert_allclose(as_numpy(back_term), [-t for t in terms[:4]], atol=1e-10)


@golden("transform: dequantise", "transform: dequantise, logit")
def test_dequantised_integers_have_the_density_of_the_recipe() -> None:
    # y = (x + u) / L, then logit(alpha + (1 - 2 alpha) y) with alpha = 0.05, then a standard normal.
    made = subject(BY_NAME["transform: dequantise, logit"])
    first = next(t for t in made.transform.modules() if isinstance(t, Dequantise))
    alpha, levels, n = 0.05, first.levels, 25
    x = as_numpy(made.data(n))
    noise = made.noise(n)
    assert isinstance(noise, tuple)
    u = as_numpy(noise[0])  # type: ignore[arg-type]
    wanted = []
    for row, part in zip(x, u, strict=True):
        total = mpmath.mpf(0)
        for value, fraction in zip(row, part, strict=True):
            y = (mpmath.mpf(float(value)) + mpmath.mpf(float(fraction))) / levels
            s = mpmath.mpf("0.05") + (1 - 2 * mpmath.mpf("0.05")) * y
            z = mpmath.log(s / (1 - s))
            total += -(z**2) / 2 - mpmath.log(2 * mpmath.pi) / 2
            total += mpmath.log((1 - 2 * mpmath.mpf(alpha)) / (s * (1 - s))) - mpmath.log(levels)
        wanted.append(float(total))
    np.testing.assert_allclose(as_numpy(made.flow.log_prob(made.data(n), None, noise=noise)), wanted, atol=1e-10)
    y, log_term = first.to_latent(made.data(n), None, noise[0])
    np.testing.assert_allclose(as_numpy(y), (x + u) / levels, atol=1e-15)
    np.testing.assert_allclose(as_numpy(log_term), -2 * math.log(levels), atol=1e-12)


@golden("flow: known Gaussian")
def test_flow_with_known_weights_is_the_gaussian_that_it_stands_for() -> None:
    made = subject(BY_NAME["flow: known Gaussian"], stage="start")
    x = np.random.default_rng(4).normal(size=(30, 2)) * 3
    cross = 0.6 * 4.0
    covariance = np.array([[4.0, cross], [cross, 0.36 * 4.0 + 0.25]])
    wanted = multivariate_normal([1.0, 0.5], covariance).logpdf(x)
    np.testing.assert_allclose(as_numpy(made.flow.log_prob(torch.from_numpy(x))), wanted, atol=1e-10)


@golden("flow: known box")
def test_flow_with_known_weights_is_the_box_that_it_stands_for() -> None:
    made = subject(BY_NAME["flow: known box"], stage="start")
    x = torch.tensor([[-3.1], [-2.9], [4.9], [5.1]], dtype=torch.float64)
    value = as_numpy(made.flow.log_prob(x))
    np.testing.assert_allclose(value[1:3], -math.log(8), atol=1e-12)
    assert (value[[0, 3]] == -np.inf).all()
