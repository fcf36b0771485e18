"""Glow's step and its learned priors against numpy: convolutions as loops over taps, the matrix as a product."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from checking import golden
from registry import BY_NAME
from subjects import Subject, subject

Array = NDArray[np.float64]
Weights = Mapping[str, Array]


def _convolution(h: Array, weight: Array, edge: Array) -> Array:
    """3 x 3, with zeros around ``h: (B, C, H, W)`` and one more channel that is 1 there; ``edge``: its 8 outer taps."""
    padded = np.pad(h, ((0, 0), (0, 0), (1, 1), (1, 1)))
    around = np.pad(np.zeros_like(h[:, :1]), ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=1.0)
    seen = np.concatenate([padded, around], 1)
    taps = np.insert(edge, 4, 0.0, axis=1).reshape(-1, 1, 3, 3)
    filters = np.concatenate([weight, taps], 1)
    height, width = h.shape[2:]
    out = np.zeros((len(h), len(filters), height, width))
    for row in range(height):
        for column in range(width):
            patch = seen[:, :, row : row + 3, column : column + 3]
            out[:, :, row, column] = np.einsum("bcij,ocij->bo", patch, filters)
    return out


def _wide(v: Array) -> Array:
    return v[:, None, None]


def _zero_convolution(h: Array, w: Weights, prefix: str) -> Array:
    raw = _convolution(h, w[f"{prefix}conv.weight"], w[f"{prefix}conv.edge"])
    return (raw + _wide(w[f"{prefix}bias"])) * np.exp(3 * _wide(w[f"{prefix}log_scale"]))


def _normalised(h: Array, w: Weights, prefix: str) -> Array:
    return (h - _wide(w[f"{prefix}offset"])) * np.exp(-_wide(w[f"{prefix}log_std"]))


def _net(h: Array, context: Array | None, w: Weights, prefix: str) -> Array:
    """Glow's coupling net, its offsets and scales as own passes over the activations."""
    h = _convolution(h, w[f"{prefix}first.conv.weight"], w[f"{prefix}first.conv.edge"])
    h = _normalised(h, w, f"{prefix}first.")
    if context is not None:
        h = h + (context @ w[f"{prefix}context.weight"].T + w[f"{prefix}context.bias"])[:, :, None, None]
    h = np.maximum(h, 0)
    h = np.einsum("bchw,oc->bohw", h, w[f"{prefix}second.conv.weight"][:, :, 0, 0])
    h = np.maximum(_normalised(h, w, f"{prefix}second."), 0)
    return _zero_convolution(h, w, f"{prefix}last.")


def _affine(x: Array, params: Array) -> tuple[Array, Array]:
    """exp(s) x + t for ``params: (B, 2 C, ...)``, first all t, then all raw s, with s = raw / (1 + |raw| / 5)."""
    shift, raw = np.split(params, 2, axis=1)
    s = np.broadcast_to(raw / (1 + np.abs(raw) / 5), x.shape)
    return x * np.exp(s) + shift, s.sum((1, 2, 3))


def _weights(made: Subject) -> Weights:
    return {name: value.detach().numpy() for name, value in made.transform.state_dict().items()}


def _assert_golden(made: Subject, x: torch.Tensor, z: Array, log_term: Array) -> None:
    context = made.context(len(x))
    found, found_term = made.transform.to_latent(x, context)
    np.testing.assert_allclose(found.detach().numpy(), z, atol=1e-10)
    np.testing.assert_allclose(found_term.detach().numpy(), log_term, atol=1e-10)
    back, back_term = made.transform.to_data(torch.from_numpy(z), context)
    np.testing.assert_allclose(back.detach().numpy(), x.numpy(), atol=1e-10)
    np.testing.assert_allclose(back_term.detach().numpy(), -log_term, atol=1e-10)


@pytest.mark.parametrize("name", ["transform: Glow step", "transform: Glow step, context"])
@golden("transform: Glow step", "transform: Glow step, context")
def test_glow_step_is_normalisation_matrix_and_coupling(name: str) -> None:
    made = subject(BY_NAME[name])
    w, x = _weights(made), made.data(9)
    context = None if made.context(9) is None else made.context(9).numpy()
    h = _normalised(x.numpy(), w, "transforms.0.")
    log_term = np.full(9, -4 * w["transforms.0.log_std"].sum())

    packed = w["transforms.1.packed"]
    diagonal = np.diag(packed) / (1 + np.abs(np.diag(packed)) / 5)
    factors = (np.tril(packed, -1) + np.eye(2)) @ (np.triu(packed, 1) + np.diag(np.exp(diagonal)))
    matrix = w["transforms.1.signs"][:, None] * factors[w["transforms.1.order"].astype(int)]
    h = np.einsum("bchw,oc->bohw", h, matrix) + _wide(w["transforms.1.bias"])
    log_term = log_term + 4 * np.log(np.abs(np.linalg.det(matrix)))

    kept, changed = h[:, :1], h[:, 1:]
    changed, slopes = _affine(changed, _net(kept, context, w, "transforms.2.net."))
    _assert_golden(made, x, np.concatenate([kept, changed], 1), log_term + slopes)


@golden("transform: split prior, context")
def test_split_prior_is_a_normal_given_the_kept_half() -> None:
    made = subject(BY_NAME["transform: split prior, context"])
    w, x, context = _weights(made), made.data(9), made.context(9)
    assert context is not None
    kept, left = np.split(x.numpy(), 2, axis=1)
    params = _zero_convolution(kept, w, "net.")
    params = params + (context.numpy() @ w["net.context.weight"].T + w["net.context.bias"])[:, :, None, None]
    z, log_term = _affine(left, params)
    _assert_golden(made, x, np.concatenate([kept, z], 1), log_term)
    # The same as a density: what is left is normal with this mean and deviation.
    shift, raw = np.split(params, 2, axis=1)
    scale = np.exp(-raw / (1 + np.abs(raw) / 5))
    normal = -0.5 * ((left + shift * scale) / scale) ** 2 - np.log(scale)
    np.testing.assert_allclose((-0.5 * z**2).sum((1, 2, 3)) + log_term, normal.sum((1, 2, 3)), atol=1e-10)


@golden("transform: top prior, context")
def test_top_prior_has_a_mean_and_a_scale_for_each_channel() -> None:
    made = subject(BY_NAME["transform: top prior, context"])
    w, x, context = _weights(made), made.data(9), made.context(9)
    assert context is not None
    hidden = np.maximum(context.numpy() @ w["net.layers.0.weight"].T + w["net.layers.0.bias"], 0)
    raw = hidden @ w["net.last.weight"].T + w["net.last.bias"]
    params = raw.reshape(9, 4, 1, 1) + w["weight"].reshape(4, 1, 1)
    _assert_golden(made, x, *_affine(x.numpy(), params))
