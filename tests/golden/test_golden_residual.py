"""Residual blocks against numpy written from the papers: norms by singular values of whole matrices, series by powers.

Behrmann et al., "Invertible residual networks", 2019, eqs. 2 and 4; Chen et al., "Residual flows", 2019, eq. 6.
"""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from checking import golden
from operators import operator_matrix
from pushforward.nets.lipschitz import MARGIN, ContractiveNet, LipschitzLayer
from pushforward.transforms import Residual
from registry import BY_NAME
from subjects import Stage, Subject, subject

Array = NDArray[np.float64]
_ROWS = 3
_EXACT, _TRUNCATED = "transform: residual, exact", "transform: residual, truncated"
_ROULETTE, _IMAGE = "transform: residual, roulette, context", "transform: residual, image"


def _numbers(value: object) -> Array:
    assert isinstance(value, torch.Tensor)
    return value.detach().double().numpy()


def _bias(net: ContractiveNet, i: int, context: Array | None) -> Array:
    """A layer's bias with what the context adds, ``(B, out)``."""
    layer = net.layers[i]
    assert isinstance(layer, LipschitzLayer)
    bias = _numbers(layer.bias)[None]
    if context is not None:
        bias = bias + context @ _numbers(net.shifts[i]).T
    pixels = layer.left[0].numel()
    return np.repeat(bias, pixels, 1) if pixels > 1 else bias


def _contraction(net: ContractiveNet, x: Array, context: Array | None) -> tuple[Array, Array]:
    """``g(x)``, ``(B, D)``, and its Jacobian, ``(B, D, D)``, by the chain rule."""
    h, jacobian = x, np.repeat(np.eye(x.shape[1])[None], len(x), 0)
    for i, layer in enumerate(net.layers):
        assert isinstance(layer, LipschitzLayer)
        matrix = operator_matrix(layer)
        norm = np.linalg.svd(matrix, compute_uv=False)[0] * (1 + MARGIN)
        matrix = matrix * min(1.0, layer.coefficient / norm)
        h, jacobian = h @ matrix.T + _bias(net, i, context), matrix @ jacobian
        if i + 1 < len(net.layers):
            beta = math.log1p(math.exp(_numbers(net.activations[i].raw_beta).item()))  # type: ignore[arg-type]
            s = 1 / (1 + np.exp(-beta * h))
            slope = (s + beta * h * s * (1 - s)) / 1.1
            h, jacobian = h * s / 1.1, slope[:, :, None] * jacobian
    return h, jacobian


def _series(jacobian: Array, probe: Array, weights: list[float]) -> float:
    """The sum over k of ``(-1)^(k+1) / k weight_k v^T J^k v``."""
    powers = [np.linalg.matrix_power(jacobian, k) for k in range(1, len(weights) + 1)]
    return sum(
        (-1) ** (k + 1) / k * w * probe @ p @ probe for k, (p, w) in enumerate(zip(powers, weights, strict=True), 1)
    )


def _wanted(made: Subject, n: int) -> tuple[Array, Array]:
    """Latents and log terms of the subject's data and noise."""
    block = made.transform
    assert isinstance(block, Residual)
    context = made.embedded(n)
    x = _numbers(made.data(n)).reshape(n, -1)
    g, jacobian = _contraction(block.net, x, None if context is None else _numbers(context))
    noise, terms = made.noise(n), []
    for i in range(n):
        if noise is None:
            terms.append(float(np.linalg.slogdet(np.eye(x.shape[1]) + jacobian[i])[1]))
        elif isinstance(noise, torch.Tensor):
            terms.append(_series(jacobian[i], _numbers(noise)[i], [1.0] * block.log_det.terms))  # type: ignore[attr-defined]
        else:
            sure = block.log_det.evaluation_terms + 1  # type: ignore[attr-defined]
            survival = max(0.5, block.net.lipschitz**1.5)
            first, second = _numbers(noise[1])[i]
            rest, count = 1 - first - second / 2**24, 0
            while rest <= survival ** (count + 1):
                count += 1
            weights = [1.0] * sure + [survival**-j for j in range(1, count + 1)]
            terms.append(_series(jacobian[i], _numbers(noise[0])[i].reshape(-1), weights))
    return x + g, np.array(terms)


@golden(_EXACT, _TRUNCATED, _ROULETTE, _IMAGE)
@pytest.mark.parametrize("stage", ["perturbed", "trained"])
@pytest.mark.parametrize("name", [_EXACT, _TRUNCATED, _ROULETTE, _IMAGE])
def test_block_equals_numpy(name: str, stage: Stage) -> None:
    made = subject(BY_NAME[name], torch.float64, stage)
    wanted_z, wanted_term = _wanted(made, _ROWS)
    with torch.no_grad():
        z, term = made.transform.to_latent(made.data(_ROWS), made.embedded(_ROWS), made.noise(_ROWS))
        _, back = made.transform.to_data(z, made.embedded(_ROWS), made.noise(_ROWS))
    np.testing.assert_allclose(z.flatten(1).numpy(), wanted_z, atol=1e-10, rtol=0)
    np.testing.assert_allclose(term.numpy(), wanted_term, atol=1e-10, rtol=0)
    np.testing.assert_allclose(back.numpy(), -wanted_term, atol=1e-10, rtol=0)
