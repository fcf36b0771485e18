"""Monotone maps against their papers' formulas in 50 digits (mpmath), on the same numbers."""

from collections.abc import Callable

import mpmath
import numpy as np
import torch
from torch import Tensor

from checking import golden
from pushforward.maps import Map
from registry import BY_NAME

mpmath.mp.dps = 50
# Far enough for a sigmoid to be 1 in float64, and beyond every bound of the entries.
_X = [-300.0, -12.5, -1.2, -0.3, 0.0, 0.7, 1.4, 40.0, 750.0]
_mp = np.vectorize(mpmath.mpf, otypes=[object])


def _map(name: str) -> Map:
    made = BY_NAME[name].make(torch.float64).double()
    assert isinstance(made, Map)
    return made


def _random(rows: int, scale: float = 1.0) -> np.ndarray:
    return scale * np.random.default_rng(rows).standard_normal((rows, len(_X)))


def _assert_equals(
    map: Map, params: np.ndarray, x: list[float], wanted: Callable[[int, mpmath.mpf], tuple[mpmath.mpf, mpmath.mpf]]
) -> None:
    """wanted: of column ``i`` of params and x, the value and the slope."""
    found = [wanted(i, mpmath.mpf(value)) for i, value in enumerate(x)]
    y, log_slope = _tensor([f[0] for f in found]), _tensor([mpmath.log(f[1]) for f in found])
    points, rows = torch.tensor(x, dtype=torch.float64), torch.from_numpy(params)
    got, slope = map(points, rows)
    torch.testing.assert_close(got, y, atol=1e-10, rtol=1e-12)
    torch.testing.assert_close(slope, log_slope, atol=1e-10, rtol=0)
    back, slope_back = map.inverse(y, rows)
    torch.testing.assert_close(back, points, atol=1e-10, rtol=1e-12)
    torch.testing.assert_close(slope_back, -log_slope, atol=1e-9, rtol=0)


def _tensor(values: list[mpmath.mpf]) -> Tensor:
    return torch.tensor([float(v) for v in values], dtype=torch.float64)


def _sigmoid(u: mpmath.mpf) -> mpmath.mpf:
    return 1 / (1 + mpmath.exp(-u))


def _softplus(u: mpmath.mpf) -> mpmath.mpf:
    return mpmath.log(1 + mpmath.exp(u))


def _softmax(logits: np.ndarray) -> np.ndarray:
    exp = np.array([mpmath.exp(value) for value in logits])
    return exp / exp.sum()


def _slope_from_zero(raw: mpmath.mpf) -> mpmath.mpf:
    """softplus(raw + const) + 0.001, with the constant that makes it 1 at 0."""
    return _softplus(raw + mpmath.log(mpmath.exp(1 - mpmath.mpf(0.001)) - 1)) + mpmath.mpf(0.001)


def _logit_of_mixture(weights: np.ndarray, u: np.ndarray, rates: np.ndarray) -> tuple[mpmath.mpf, mpmath.mpf]:
    with mpmath.workdps(800):  # in which 1 - F still has digits where F is 1 - exp(-750)
        s = np.array([_sigmoid(value) for value in u])
        weights = weights / weights.sum()
        below = (weights * s).sum()
        density = (weights * rates * s * (1 - s)).sum()
        return mpmath.log(below / (1 - below)), density / (below * (1 - below))


@golden("map: deep sigmoidal")
def test_deep_sigmoidal_map_is_the_formula_of_naf() -> None:
    params = _random(9)

    def wanted(i: int, x: mpmath.mpf) -> tuple[mpmath.mpf, mpmath.mpf]:
        logits, raw, offsets = np.split(_mp(params[:, i]), 3)
        rates = np.array([_slope_from_zero(value) for value in raw])
        return _logit_of_mixture(_softmax(logits), rates * x + offsets, rates)

    _assert_equals(_map("map: deep sigmoidal"), params, _X, wanted)


@golden("map: logistic mixture")
def test_logistic_mixture_is_the_coupling_law_of_flow_plus_plus() -> None:
    params = _random(11)

    def wanted(i: int, x: mpmath.mpf) -> tuple[mpmath.mpf, mpmath.mpf]:
        column = _mp(params[:, i])
        logits, means, raw = np.split(column[:9], 3)
        rates = np.array([mpmath.exp(-r / (1 + abs(r) / 5)) for r in raw])
        value, slope = _logit_of_mixture(_softmax(logits), (x - means) * rates, rates)
        scale = mpmath.exp(column[9] / (1 + abs(column[9]) / 5))
        return scale * value + column[10], scale * slope

    _assert_equals(_map("map: logistic mixture"), params, _X, wanted)


def _with_linear_tails(
    value: Callable[[mpmath.mpf], mpmath.mpf], slope: Callable[[mpmath.mpf], mpmath.mpf], x: mpmath.mpf, bound: float
) -> tuple[mpmath.mpf, mpmath.mpf]:
    inside = min(max(x, -mpmath.mpf(bound)), mpmath.mpf(bound))
    return value(inside) + slope(inside) * (x - inside), slope(inside)


@golden("map: sum of squares")
def test_sum_of_squares_is_the_integral_of_squared_polynomials() -> None:
    params = _random(7)

    def wanted(i: int, x: mpmath.mpf) -> tuple[mpmath.mpf, mpmath.mpf]:
        column = _mp(params[:, i])
        a = np.array([r / (1 + abs(r) / 16) for r in column[:-1]]).reshape(2, 3)

        def slope(u: mpmath.mpf) -> mpmath.mpf:
            return mpmath.mpf(0.001) + sum(sum(a[k, m] * (u / 1.5) ** m for m in range(3)) ** 2 for k in range(2))

        def value(u: mpmath.mpf) -> mpmath.mpf:
            return column[-1] + mpmath.quad(slope, [0, u])

        return _with_linear_tails(value, slope, x, 1.5)

    _assert_equals(_map("map: sum of squares"), params, _X, wanted)


@golden("map: bernstein")
def test_bernstein_map_is_the_polynomial_of_its_definition() -> None:
    params, degree, bound = _random(5), 4, 1.5

    def wanted(i: int, x: mpmath.mpf) -> tuple[mpmath.mpf, mpmath.mpf]:
        column = _mp(params[:, i])
        steps = [_slope_from_zero(raw) * 2 * bound / degree for raw in column[1:]]
        theta = [column[0] - bound + sum(steps[:m]) for m in range(degree + 1)]

        def value(u: mpmath.mpf) -> mpmath.mpf:
            t = (u + bound) / (2 * bound)
            return sum(theta[m] * mpmath.binomial(degree, m) * t**m * (1 - t) ** (degree - m) for m in range(5))

        return _with_linear_tails(value, lambda u: mpmath.diff(value, u), x, bound)

    _assert_equals(_map("map: bernstein"), params, _X, wanted)


@golden("map: unconstrained monotone")
def test_unconstrained_monotone_map_is_the_integral_of_its_network() -> None:
    made, params = _map("map: unconstrained monotone"), _random(3, 0.5)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in made.parameters():
            weight.copy_(0.4 * torch.randn(weight.shape, generator=generator, dtype=torch.float64))
    weights = {name: _mp(value.detach().numpy()) for name, value in made.named_parameters()}

    def layer(name: str, h: np.ndarray) -> np.ndarray:
        return weights[f"{name}.weight"] @ h + weights[f"{name}.bias"]

    def tanh(h: np.ndarray) -> np.ndarray:
        return np.array([mpmath.tanh(value) for value in h])

    def wanted(i: int, x: mpmath.mpf) -> tuple[mpmath.mpf, mpmath.mpf]:
        column = _mp(params[:, i])

        def slope(u: mpmath.mpf) -> mpmath.mpf:
            h = tanh(weights["position.weight"][:, 0] * u + layer("embedding", column[:2]))
            return _slope_from_zero(layer("last", tanh(layer("middle.0", h)))[0])

        def value(u: mpmath.mpf) -> mpmath.mpf:
            return column[2] + mpmath.quad(slope, [0, u])

        return _with_linear_tails(value, slope, x, 3.0)

    with mpmath.workdps(25):
        _assert_equals(made, params, _X, wanted)


def _assert_is_distribution_function(
    name: str, x: list[float], wanted: Callable[[int, mpmath.mpf], tuple[mpmath.mpf, mpmath.mpf]]
) -> None:
    _assert_equals(_map(f"map: distribution function, {name}"), np.zeros((0, len(x))), x, wanted)


@golden("map: distribution function, normal")
def test_distribution_function_of_a_normal_is_the_error_function() -> None:
    def wanted(i: int, x: mpmath.mpf) -> tuple[mpmath.mpf, mpmath.mpf]:
        return mpmath.ncdf(x, 0.5, 1.5), mpmath.npdf(x, 0.5, 1.5)

    _assert_is_distribution_function("normal", [-5.0, -1.2, 0.0, 0.5, 3.7], wanted)


@golden("map: distribution function, gamma")
def test_distribution_function_of_a_gamma_is_the_incomplete_gamma_function() -> None:
    def wanted(i: int, x: mpmath.mpf) -> tuple[mpmath.mpf, mpmath.mpf]:
        scaled = mpmath.mpf(1.5) * x
        return mpmath.gammainc(2, 0, scaled, regularized=True), mpmath.mpf(1.5) * scaled * mpmath.exp(-scaled)

    _assert_is_distribution_function("gamma", [1e-6, 0.03, 0.9, 2.0, 6.5], wanted)


@golden("map: distribution function, mixture")
def test_distribution_function_of_a_mixture_is_the_mean_of_its_parts() -> None:
    def wanted(i: int, x: mpmath.mpf) -> tuple[mpmath.mpf, mpmath.mpf]:
        weight, mean, deviation = ([0.3, 0.7], [-2.0, 1.0], [0.5, 1.0])
        parts = list(zip(weight, mean, deviation, strict=True))
        return (
            sum(mpmath.mpf(w) * mpmath.ncdf(x, m, d) for w, m, d in parts),
            sum(mpmath.mpf(w) * mpmath.npdf(x, m, d) for w, m, d in parts),
        )

    # Two at a time: the entry is a batch of two distributions.
    for pair in ([-3.4, -2.0], [-0.7, 0.0], [1.1, 4.5]):
        _assert_is_distribution_function("mixture", pair, wanted)
