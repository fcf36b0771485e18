"""Planar, radial and Sylvester flows in numpy, written from the papers' equations, with the same numbers."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from checking import golden
from formulas import Array, as_numpy
from registry import BY_NAME
from subjects import Subject, subject

_ROWS = 20


def _values(made: Subject) -> Array:
    return as_numpy(made.transform.get_parameter("params.values"))


def _slope(raw: Array | float) -> Array:
    """softplus(raw + const) + 0.001, with the constant that makes it 1 at 0."""
    return np.log1p(np.exp(raw + np.log(np.expm1(1 - 0.001)))) + 0.001


def _limited(raw: Array | float) -> Array:
    return np.exp(raw / (1 + np.abs(raw) / 5))


def _assert_both_ways(made: Subject, formula: Callable[[Array], Array], jacobian: Callable[[Array], Array]) -> None:
    """formula, jacobian: of one event ``(D,)``, as the paper writes them."""
    x = as_numpy(made.data(_ROWS))
    z = np.stack([formula(row) for row in x])
    log_det = np.array([np.linalg.slogdet(jacobian(row))[1] for row in x])
    got, log_term = made.transform.to_latent(torch.from_numpy(x))
    np.testing.assert_allclose(as_numpy(got), z, atol=1e-10)
    np.testing.assert_allclose(as_numpy(log_term), log_det, atol=1e-10)
    back, back_term = made.transform.to_data(torch.from_numpy(z))
    np.testing.assert_allclose(as_numpy(back), x, atol=1e-10)
    np.testing.assert_allclose(as_numpy(back_term), -log_det, atol=1e-10)


@golden("map: bend")
def test_bend_is_the_identity_and_a_hyperbolic_tangent() -> None:
    made = BY_NAME["map: bend"].make(torch.float64).double()
    x = np.array([-300.0, -12.5, -1.2, -0.3, 0.0, 0.7, 1.4, 18.0, 750.0])
    raw = np.linspace(-9.0, 9.0, len(x))
    y, slope = x + (_slope(raw) - 1) * np.tanh(x), 1 + (_slope(raw) - 1) / np.cosh(np.clip(x, -300, 300)) ** 2
    got, log_slope = made(torch.from_numpy(x), torch.from_numpy(raw)[None])
    np.testing.assert_allclose(got.numpy(), y, atol=1e-10)
    np.testing.assert_allclose(log_slope.numpy(), np.log(slope), atol=1e-10)
    back, slope_back = made.inverse(torch.from_numpy(y), torch.from_numpy(raw)[None])
    np.testing.assert_allclose(back.numpy(), x, atol=1e-10)
    np.testing.assert_allclose(slope_back.numpy(), -np.log(slope), atol=1e-10)


@golden("transform: planar")
def test_planar_step_is_equation_10_with_the_constraint_of_appendix_a() -> None:
    made = subject(BY_NAME["transform: planar"])
    raw_w, u, b = np.split(_values(made), [3, 6])
    norm = np.linalg.norm(raw_w)
    w = raw_w / norm * _limited(np.log(norm))
    u_hat = u + (_slope(w @ u) - 1 - w @ u) * w / (w @ w)

    def jacobian(x: Array) -> Array:
        psi = (1 - np.tanh(w @ x + b) ** 2) * w
        return np.eye(3) + np.outer(u_hat, psi)

    _assert_both_ways(made, lambda x: x + u_hat * np.tanh(w @ x + b), jacobian)


@golden("transform: radial")
def test_radial_step_is_equation_14() -> None:
    made = subject(BY_NAME["transform: radial"])
    centre, raw_alpha, raw_slope = np.split(_values(made), [3, 4])
    alpha = _slope(raw_alpha)
    beta = -alpha + alpha * _slope(raw_slope)

    def formula(x: Array) -> Array:
        return x + beta / (alpha + np.linalg.norm(x - centre)) * (x - centre)

    def jacobian(x: Array) -> Array:
        r = np.linalg.norm(x - centre)
        h = 1 / (alpha + r)
        return (1 + beta * h) * np.eye(3) - beta * h**2 / r * np.outer(x - centre, x - centre)

    _assert_both_ways(made, formula, jacobian)


def _gram_schmidt(matrix: Array) -> Array:
    columns: list[Array] = []
    for column in matrix.T:
        rest = column - sum(known * (known @ column) for known in columns)
        columns.append(rest / np.linalg.norm(rest))
    return np.stack(columns, 1)


def _reflections(below: Array) -> Array:
    """The first two columns of minus the product of two reflections, along (1, a, b) and (0, 1, c)."""
    a, b, c = below[0], below[1], below[2]
    product = np.eye(3)
    for v in (np.array([1, a, b]), np.array([0, 1, c])):
        product = product @ (np.eye(3) - 2 * np.outer(v, v) / (v @ v))
    return -product[:, :2]


@golden("transform: sylvester, orthogonal", "transform: sylvester, householder", "transform: sylvester, triangular")
@pytest.mark.parametrize("variant", ["orthogonal", "householder", "triangular"])
def test_sylvester_step_is_its_equation(variant: str) -> None:
    made = subject(BY_NAME[f"transform: sylvester, {variant}"])
    values, units = _values(made), 3 if variant == "triangular" else 2
    count = {"orthogonal": 6, "householder": 3, "triangular": 0}[variant]
    raw_q, rest = values[:count], values[count:]
    if variant == "orthogonal":
        q = _gram_schmidt(raw_q.reshape(3, 2))
    elif variant == "householder":
        # Row by row below the diagonal: (2, 1), (3, 1), (3, 2).
        q = _reflections(raw_q)
    else:
        q = np.eye(3)[:, ::-1]
    above = units * (units - 1) // 2
    raw_r, raw_inner, raw_slope, raw_scale, b = np.split(rest, np.cumsum([above, above, units, units]))
    r, inner = np.zeros((units, units)), np.zeros((units, units))
    r[np.triu_indices(units, 1)], inner[np.triu_indices(units, 1)] = raw_r, raw_inner
    np.fill_diagonal(inner, _limited(raw_scale))
    np.fill_diagonal(r, (_slope(raw_slope) - 1) / _limited(raw_scale))
    np.testing.assert_allclose(q.T @ q, np.eye(units), atol=1e-14)

    def jacobian(x: Array) -> Array:
        slopes = 1 - np.tanh(inner @ q.T @ x + b) ** 2
        return np.eye(3) + q @ r @ np.diag(slopes) @ inner @ q.T

    _assert_both_ways(made, lambda x: x + q @ r @ np.tanh(inner @ q.T @ x + b), jacobian)
