"""Surjections and stochastic transforms against numpy and closed forms written from the papers."""

import itertools
import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import multivariate_normal

from checking import golden
from pushforward.transform import Chain
from pushforward.transforms import Argmax
from registry import BY_NAME
from subjects import Subject, subject

Array = NDArray[np.float64]


def _numpy(value: torch.Tensor) -> Array:
    return value.detach().double().numpy().copy()


def _weights(made: Subject) -> dict[str, Array]:
    return {name: _numpy(value) for name, value in made.transform.state_dict().items()}


@golden("transform: stochastic permutation")
def test_a_random_order_has_a_log_term_of_0_and_orders_are_all_reached() -> None:
    made = subject(BY_NAME["transform: stochastic permutation"])
    assert isinstance(made.transform, Chain)
    shuffle, rest = next(iter(made.transform)), Chain(list(made.transform)[1:])
    x = made.data(5)
    values = []
    for noise in ([0.1, 0.7], [0.7, 0.1]):
        z, log_term = shuffle.to_latent(x, None, torch.tensor([noise], dtype=torch.float64).expand(5, 2))
        order = np.argsort(noise)
        np.testing.assert_array_equal(_numpy(z), _numpy(x)[:, order])
        assert not log_term.any()
        y, log_term = rest.to_latent(z)
        values.append(multivariate_normal(np.zeros(2), np.eye(2)).logpdf(_numpy(y)) + _numpy(log_term))
    # With many draws the bound comes as close as one likes to the log of the mean over both orders.
    exact = np.logaddexp(*values) - math.log(2)
    found = made.flow.likelihood(x, samples=4000)
    assert found.standard_error is not None
    assert (np.abs(_numpy(found.value) - exact) < 4 * _numpy(found.standard_error) + 1e-12).all()


def _silu(h: Array) -> Array:
    return h / (1 + np.exp(-h))


def _log_sigmoid(h: Array) -> Array:
    return -np.log1p(np.exp(-h))


def _posterior(made: Subject, shown: Array, noise: Array) -> tuple[Array, Array]:
    """u and its log-density: logistic numbers of the same rank as the normal noise, scaled and shifted by the net."""
    w = {name.removeprefix("transforms.0.posterior."): value for name, value in _weights(made).items()}
    h = _silu(shown @ w["transform.net.net.layers.0.weight"].T + w["transform.net.net.layers.0.bias"])
    out = (h @ w["transform.net.net.last.weight"].T + w["transform.net.net.last.bias"]).reshape(len(shown), 2, -1)
    raw = w["transform.weight"][:, None] + out.swapaxes(0, 1)
    shift, log_scale = raw[0], raw[1] / (1 + np.abs(raw[1]) / 5)
    share = np.array([[0.5 * (1 + math.erf(e / math.sqrt(2))) for e in row] for row in noise])
    y = np.log(share / (1 - share))
    # The map leads from values to noise: y = u exp(s) + t.
    return (y - shift) * np.exp(-log_scale), (_log_sigmoid(y) + _log_sigmoid(-y) + log_scale).sum(1)


@golden("transform: argmax")
def test_argmax_is_the_thresholding_of_argmax_flows() -> None:
    made = subject(BY_NAME["transform: argmax"])
    first = next(iter(made.transform))  # type: ignore[call-overload]
    assert isinstance(first, Argmax)
    x = np.array([0.0, 1, 2, 2])
    noise = np.random.default_rng(0).normal(size=(4, 3))
    u, log_q = _posterior(made, np.eye(3)[x.astype(int)], noise)
    top = u[np.arange(4), x.astype(int)][:, None]
    is_top = np.arange(3) == x[:, None]
    wanted = np.where(is_top, u, top - np.log1p(np.exp(top - u)))
    slopes = np.where(is_top, 0.0, _log_sigmoid(top - u)).sum(1)
    z, log_term = first.to_latent(torch.from_numpy(x)[:, None], None, (torch.from_numpy(noise), None))
    np.testing.assert_allclose(_numpy(z), wanted, atol=1e-10)
    np.testing.assert_allclose(_numpy(log_term), slopes - log_q, atol=1e-10)
    assert (wanted.argmax(1) == x).all()


@golden("transform: argmax, signs")
def test_signs_spell_the_category_in_binary() -> None:
    made = subject(BY_NAME["transform: argmax, signs"])
    first = next(iter(made.transform))  # type: ignore[call-overload]
    assert isinstance(first, Argmax)
    # Of three categories the first has two spellings, 00 and 11 (3 - 3 = 0), the lowest bit first.
    x = np.array(list(itertools.product(range(3), repeat=2)), dtype=float)
    noise, choice = np.random.default_rng(0).normal(size=(9, 4)), np.tile([[0.3, 0.8]], (9, 1))
    spelt = np.where((x == 0) & (choice >= 0.5), 3, x).astype(int)
    signs = (2 * (spelt[..., None] >> np.arange(2) & 1) - 1).reshape(9, 4)
    u, log_q = _posterior(made, signs.astype(float), noise)
    given = (torch.from_numpy(noise), torch.from_numpy(choice))
    z, log_term = first.to_latent(torch.from_numpy(x), None, given)
    np.testing.assert_allclose(_numpy(z), signs * np.log1p(np.exp(u)), atol=1e-10)
    wanted = _log_sigmoid(u).sum(1) - log_q + math.log(2) * (x == 0).sum(1)
    np.testing.assert_allclose(_numpy(log_term), wanted, atol=1e-10)
    np.testing.assert_array_equal(_numpy(first.to_data(z)[0]), x)
