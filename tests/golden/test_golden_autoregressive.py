"""MADE and the block autoregressive net in numpy, written from the papers' equations, with the same weights."""

import itertools

import numpy as np
import torch

from checking import golden
from formulas import Array, as_numpy, weights_of
from registry import BY_NAME
from subjects import Subject, subject


def _assert_both_ways(made: Subject, x: Array, z: Array, log_det: Array) -> None:
    got, log_term = made.transform.to_latent(torch.from_numpy(x))
    np.testing.assert_allclose(as_numpy(got), z, atol=1e-10)
    np.testing.assert_allclose(as_numpy(log_term), log_det, atol=1e-10)
    back, back_term = made.transform.to_data(torch.from_numpy(z))
    np.testing.assert_allclose(as_numpy(back), x, atol=1e-10)
    np.testing.assert_allclose(as_numpy(back_term), -log_det, atol=1e-10)


@golden("transform: autoregressive")
def test_masked_net_is_equations_8_to_10_of_made() -> None:
    made = subject(BY_NAME["transform: autoregressive"])
    w, x = weights_of(made), as_numpy(made.data(20))
    features, units = 3, 12
    inputs = np.arange(1, features + 1)
    # The degrees of the hidden units: 1 .. D - 1, as many of each, in ascending order.
    degrees = 1 + np.arange(units) * (features - 1) // units
    first = degrees[:, None] >= inputs[None]
    second = degrees[:, None] >= degrees[None]
    last = np.tile(inputs[:, None] > degrees[None], (2, 1))
    h = x @ (w["net.layers.0.weight"] * first).T + w["net.layers.0.bias"]
    h = h + np.tanh(h) @ (w["net.layers.1.weight"] * second).T + w["net.layers.1.bias"]
    out = np.tanh(h) @ (w["net.last.weight"] * last).T + w["net.last.bias"]
    shift, raw = out[:, :features], out[:, features:]
    log_scale = raw / (1 + np.abs(raw) / 5)
    _assert_both_ways(made, x, x * np.exp(log_scale) + shift, log_scale.sum(1))


@golden("transform: block autoregressive")
def test_block_autoregressive_net_is_section_3_of_its_paper() -> None:
    made = subject(BY_NAME["transform: block autoregressive"])
    w, x = weights_of(made), as_numpy(made.data(20))
    features, widths = 3, (1, 4, 3, 1)
    matrices = []
    for layer, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        raw, matrix = w[f"layers.{layer}.weight"], np.zeros((features * outputs, features * inputs))
        for i in range(features):
            for j in range(i + 1):
                block = (slice(i * outputs, (i + 1) * outputs), slice(j * inputs, (j + 1) * inputs))
                # Free below the diagonal; on it an exponential, of what is limited to +-10.
                matrix[block] = np.exp(raw[block] / (1 + np.abs(raw[block]) / 10)) if i == j else raw[block]
        length = np.exp(w[f"layers.{layer}.log_length"]) / np.linalg.norm(matrix, axis=1)
        matrices.append(matrix * length[:, None])
    gate = 1 / (1 + np.exp(-7 * np.tanh(w["raw_gate"] / 7)))
    latents, log_dets = [], []
    for row in x:
        h, jacobian = row, np.eye(features)
        for layer, matrix in enumerate(matrices):
            h = matrix @ h + w[f"layers.{layer}.bias"]
            jacobian = matrix @ jacobian
            if layer < len(matrices) - 1:
                h = np.tanh(h)
                jacobian = (1 - h**2)[:, None] * jacobian
        latents.append(gate * h + (1 - gate) * row)
        log_dets.append(np.linalg.slogdet(gate * jacobian + (1 - gate) * np.eye(features))[1])
    _assert_both_ways(made, x, np.array(latents), np.array(log_dets))
