"""Surjections and stochastic transforms against numpy and closed forms written from the papers."""

import itertools
import math

import numpy as np
import torch
from scipy.stats import expon, halfnorm, multivariate_normal, norm

from checking import golden
from formulas import Array, as_numpy, mlp, silu, soft_clamp, weights_of
from pushforward.transforms import Argmax, LULinear, MaxPool2d, Slice
from pushforward.transforms.base import Chain
from registry import BY_NAME
from subjects import Subject, subject


@golden("transform: slice")
def test_the_term_of_a_slice_is_the_density_of_what_it_drops_given_what_it_keeps() -> None:
    made = subject(BY_NAME["transform: slice"])
    mixing, cut, *_ = made.transform  # type: ignore[misc]
    assert isinstance(mixing, LULinear)
    assert isinstance(cut, Slice)
    w = {name.removeprefix("transforms.1.rest.transform."): value for name, value in weights_of(made).items()}
    x = as_numpy(mixing.to_latent(made.data(20))[0])
    out = mlp(w, "net.net.", x[:, :1], silu) + w["weight"].T
    shift, log_scale = out[:, 0], soft_clamp(out[:, 1], 5)
    z, log_term = cut.to_latent(torch.from_numpy(x))
    np.testing.assert_array_equal(as_numpy(z), x[:, :1])
    # The map leads to the noise: noise = x exp(s) + t.
    wanted = norm(-shift * np.exp(-log_scale), np.exp(-log_scale)).logpdf(x[:, 1])
    np.testing.assert_allclose(as_numpy(log_term), wanted, atol=1e-10)


@golden("transform: slice, positive rest")
def test_a_positive_rest_is_exponential_given_what_is_kept() -> None:
    made = subject(BY_NAME["transform: slice, positive rest"])
    w, x = weights_of(made), as_numpy(made.data(20))
    log_scale = soft_clamp(w["rest.raw_scale"] + mlp(w, "rest.net.", x[:, :1], np.tanh), 10)
    wanted = expon(scale=np.exp(log_scale)).logpdf(x[:, 1:]).sum(1)
    z, log_term = made.transform.to_latent(torch.from_numpy(x))
    np.testing.assert_array_equal(as_numpy(z), x[:, :1])
    np.testing.assert_allclose(as_numpy(log_term), wanted, atol=1e-10)
    uniform = np.random.default_rng(0).random((20, 2))
    drawn, back_term = made.transform.to_data(z, None, torch.from_numpy(uniform))
    np.testing.assert_allclose(as_numpy(drawn)[:, 1:], expon(scale=np.exp(log_scale)).ppf(uniform), atol=1e-10)
    np.testing.assert_allclose(as_numpy(back_term), -made.transform.to_latent(drawn)[1].detach(), atol=1e-10)


@golden("transform: absolute value, learned sign", "flow: absolute value, a normal")
def test_the_term_of_an_absolute_value_is_the_probability_of_the_sign() -> None:
    made = subject(BY_NAME["transform: absolute value, learned sign"])
    w, x = weights_of(made), as_numpy(made.data(20))
    first = next(iter(made.transform))  # type: ignore[call-overload]
    logits = mlp(w, "transforms.0.net.", np.abs(x), np.tanh)
    z, log_term = first.to_latent(torch.from_numpy(x))
    np.testing.assert_array_equal(as_numpy(z), np.abs(x))
    np.testing.assert_allclose(as_numpy(log_term), -np.log1p(np.exp(-np.sign(x) * logits)).sum(1), atol=1e-10)
    fair = subject(BY_NAME["flow: absolute value, a normal"])
    x = np.linspace(-5, 5, 41)[:, None]
    np.testing.assert_allclose(as_numpy(fair.flow.log_prob(torch.from_numpy(x))), norm.logpdf(x[:, 0]), atol=1e-10)


@golden("transform: sort", "transform: sort, 3 features", "transform: ordered to real")
def test_sorting_divides_by_the_number_of_orders() -> None:
    for features, orders in ((2, 2), (3, 6)):
        made = subject(BY_NAME["transform: sort" if features == 2 else "transform: sort, 3 features"])
        x = as_numpy(made.data(20))
        z, log_term = next(iter(made.transform)).to_latent(torch.from_numpy(x))  # type: ignore[call-overload]
        np.testing.assert_array_equal(as_numpy(z), np.sort(x))
        np.testing.assert_allclose(as_numpy(log_term), -np.log(orders), atol=1e-10)
        # Exchangeable: no order of the coordinates is likelier than another.
        values = [
            as_numpy(made.flow.log_prob(torch.from_numpy(x[:, p]))) for p in itertools.permutations(range(features))
        ]
        np.testing.assert_allclose(values, np.broadcast_to(values[0], np.shape(values)), atol=1e-10)
    made = subject(BY_NAME["transform: ordered to real"])
    x = np.sort(as_numpy(made.data(20)))
    steps = np.diff(x)
    z, log_term = made.transform.to_latent(torch.from_numpy(x))
    np.testing.assert_allclose(as_numpy(z), np.concatenate([x[:, :1], np.log(np.expm1(steps))], 1), atol=1e-10)
    np.testing.assert_allclose(as_numpy(log_term), -np.log(-np.expm1(-steps)).sum(1), atol=1e-10)


@golden("transform: max pool")
def test_max_pooling_is_its_definition_pixel_by_pixel() -> None:
    made = subject(BY_NAME["transform: max pool"])
    pool = list(made.transform)[1]  # type: ignore[call-overload]
    assert isinstance(pool, MaxPool2d)
    w = {name.removeprefix("transforms.1.rest."): value for name, value in weights_of(made).items()}
    x = as_numpy(made.data(20))
    z, log_term = pool.to_latent(torch.from_numpy(x))
    for row, image in enumerate(x):
        pixels = [float(image[0, i, j]) for i in range(2) for j in range(2)]
        largest = max(pixels)
        others = np.array([p for i, p in enumerate(pixels) if i != pixels.index(largest)])
        log_scale = soft_clamp(w["raw_scale"].ravel() + mlp(w, "net.net.", np.array([largest]), np.tanh), 10)
        wanted = halfnorm(scale=np.exp(log_scale)).logpdf(largest - others).sum() - math.log(4)
        assert z[row].item() == largest
        np.testing.assert_allclose(log_term[row].item(), wanted, atol=1e-10)


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
        np.testing.assert_array_equal(as_numpy(z), as_numpy(x)[:, order])
        assert not log_term.any()
        y, log_term = rest.to_latent(z)
        values.append(multivariate_normal(np.zeros(2), np.eye(2)).logpdf(as_numpy(y)) + as_numpy(log_term))
    # With many draws the bound comes as close as one likes to the log of the mean over both orders.
    exact = np.logaddexp(*values) - math.log(2)
    found = made.flow.likelihood(x, samples=4000)
    assert found.standard_error is not None
    assert (np.abs(as_numpy(found.value) - exact) < 4 * as_numpy(found.standard_error) + 1e-12).all()


def _log_sigmoid(h: Array) -> Array:
    return -np.log1p(np.exp(-h))


def _posterior(made: Subject, shown: Array, noise: Array) -> tuple[Array, Array]:
    """u and its log-density: logistic numbers of the same rank as the normal noise, scaled and shifted by the net."""
    w = {name.removeprefix("transforms.0.posterior."): value for name, value in weights_of(made).items()}
    out = mlp(w, "transform.net.net.", shown, silu).reshape(len(shown), 2, -1)
    raw = w["transform.weight"][:, None] + out.swapaxes(0, 1)
    shift, log_scale = raw[0], soft_clamp(raw[1], 5)
    fraction = np.array([[0.5 * (1 + math.erf(e / math.sqrt(2))) for e in row] for row in noise])
    y = np.log(fraction / (1 - fraction))
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
    np.testing.assert_allclose(as_numpy(z), wanted, atol=1e-10)
    np.testing.assert_allclose(as_numpy(log_term), slopes - log_q, atol=1e-10)
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
    np.testing.assert_allclose(as_numpy(z), signs * np.log1p(np.exp(u)), atol=1e-10)
    wanted = _log_sigmoid(u).sum(1) - log_q + math.log(2) * (x == 0).sum(1)
    np.testing.assert_allclose(as_numpy(log_term), wanted, atol=1e-10)
    np.testing.assert_array_equal(as_numpy(first.to_data(z)[0]), x)
