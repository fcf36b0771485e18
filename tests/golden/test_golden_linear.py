"""Linear layers against numpy and mpmath: the factors multiplied out one by one, the determinant by elimination."""

import math

import mpmath
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from checking import golden
from pushforward.transforms import DenseLinear, Householder, LULinear
from pushforward.transforms.linear import Linear
from registry import BY_NAME
from subjects import subject

mpmath.mp.dps = 40
Array = NDArray[np.float64]
_LIMIT = 5.0
_NAMES = [
    f"transform: linear, {name}"
    for name in (
        "LU",
        "LU, permutation",
        "LU, orthogonal",
        "dense",
        "dense, image",
        "LU, image",
        "Householder, orthogonal",
        "Householder, principal axes",
    )
]


def _positive(raw: Array) -> Array:
    """exp(s) with s = raw / (1 + |raw| / limit) on a diagonal."""
    return np.diag(np.exp(raw / (1 + np.abs(raw) / _LIMIT)))


def _reflections(columns: Array) -> Array:
    """-H_1 ... H_D with H = I - 2 v v^T / v^T v, each v with a 1 on the diagonal and zeros above it."""
    size = len(columns)
    product = -np.eye(size)
    for i in range(size):
        v = np.concatenate([np.zeros(i), [1.0], columns[i + 1 :, i]])
        product = product @ (np.eye(size) - 2 * np.outer(v, v) / (v @ v))
    return product


def _strict(entries: Array, size: int) -> Array:
    matrix, numbers = np.zeros((size, size)), iter(entries)
    for i in range(size):
        for j in range(i):
            matrix[i, j] = next(numbers)
    return matrix


def _matrix(layer: Linear) -> Array:
    w = {name: value.detach().numpy() for name, value in layer.state_dict().items()}
    size = layer.data_shape[0]
    if isinstance(layer, Householder):
        return _reflections(_strict(w["below.entries"], size)).T
    if isinstance(layer, DenseLinear):
        return w["matrix"]
    assert isinstance(layer, LULinear)
    packed, permutation = w["packed"], np.zeros((size, size))
    for row, (column, sign) in enumerate(zip(w["order"], w["signs"], strict=True)):
        permutation[row, int(column)] = sign
    return permutation @ (np.tril(packed, -1) + np.eye(size)) @ (np.triu(packed, 1) + _positive(np.diag(packed)))


@pytest.mark.parametrize("name", _NAMES)
@golden(*_NAMES)
def test_linear_layer_is_the_product_of_its_factors(name: str) -> None:
    made = subject(BY_NAME[name])
    layer = made.transform
    assert isinstance(layer, Linear)
    matrix = _matrix(layer)
    bias = 0.0 if layer.bias is None else layer.bias.detach().numpy()
    x = made.data(20)
    z, log_term = layer.to_latent(x)
    # The channels of a pixel are mixed as the coordinates of a vector are; there are as many determinants as pixels.
    wanted = np.moveaxis(np.moveaxis(x.numpy(), 1, -1) @ matrix.T + bias, -1, 1)
    np.testing.assert_allclose(z.detach().numpy(), wanted, atol=1e-10)
    exact = math.prod(x.shape[2:]) * float(mpmath.log(abs(mpmath.det(mpmath.matrix(matrix.tolist())))))
    np.testing.assert_allclose(log_term.detach().numpy(), np.full(20, exact), atol=1e-10)
    back, back_term = layer.to_data(torch.from_numpy(wanted))
    np.testing.assert_allclose(back.detach().numpy(), x.numpy(), atol=1e-10)
    np.testing.assert_allclose(back_term.detach().numpy(), np.full(20, -exact), atol=1e-10)
