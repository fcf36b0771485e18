"""Flow++ against numpy written from the paper, with the same weights."""

import math

import numpy as np
import torch
from scipy.special import expit, logit
from scipy.stats import norm

from checking import golden
from formulas import Array, as_numpy, weights_of
from registry import BY_NAME
from subjects import subject


def _concat_elu(h: Array) -> Array:
    both = np.concatenate([h, -h])
    return np.where(both > 0, both, np.expm1(both))


def _conv(h: Array, w: dict[str, Array], name: str) -> Array:
    """``h: (C, H, W)`` by filters of one or three pixels along each axis, zeros around it: pixel by pixel."""
    weight, bias = w[f"{name}.weight"], w[f"{name}.bias"]
    padded = np.pad(h, ((0, 0), *((size // 2, size // 2) for size in weight.shape[2:])))
    out = np.empty((len(weight), *h.shape[1:]))
    for row, column in np.ndindex(*h.shape[1:]):
        patch = padded[:, row : row + weight.shape[2], column : column + weight.shape[3]]
        out[:, row, column] = (weight * patch).sum((1, 2, 3)) + bias
    return out


def _gate(both: Array) -> Array:
    value, gate = np.split(both, 2)
    return value * expit(gate)


def _norm(h: Array, w: dict[str, Array], name: str) -> Array:
    """Of every pixel over its channels, ``h: (C, N)``."""
    centred = h - h.mean(0)
    scaled = centred / np.sqrt((centred**2).mean(0) + 1e-5)
    return scaled * w[f"{name}.weight"][:, None] + w[f"{name}.bias"][:, None]


def _attention(h: Array, w: dict[str, Array], name: str, heads: int) -> Array:
    placed = w[f"{name}.qkv.weight"] @ (h + w[f"{name}.position"].T)
    parts = [np.split(part, heads) for part in np.split(placed, 3)]
    seen = []
    for query, key, value in zip(*parts, strict=True):
        logits = query.T @ key / math.sqrt(len(query))
        weights = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        seen.append(value @ weights.T)
    gated = w[f"{name}.gated.weight"] @ np.concatenate(seen) + w[f"{name}.gated.bias"][:, None]
    return h + _gate(gated)


def _net(h: Array, context: Array, w: dict[str, Array]) -> Array:
    """Section 3.3 of the paper: gated convolution, norm, gated attention, norm."""
    h = _conv(h, w, "net.first")
    block = "net.blocks.0"
    r = _conv(_concat_elu(h), w, f"{block}.conv.conv")
    r = r + _conv(_concat_elu(context[:, None, None]), w, f"{block}.conv.context")
    h = h + _gate(_conv(_concat_elu(r), w, f"{block}.conv.gated"))
    pixels = _norm(h.reshape(len(h), -1), w, f"{block}.norm")
    pixels = _norm(_attention(pixels, w, f"{block}.attention", 2), w, f"{block}.attention_norm")
    return _conv(pixels.reshape(h.shape), w, "net.last")


@golden("transform: coupling, gated attention")
def test_coupling_is_section_3_2_of_the_paper_with_the_net_of_section_3_3() -> None:
    made, n, k = subject(BY_NAME["transform: coupling, gated attention"]), 10, 3
    w, x, context = weights_of(made), made.data(n), made.context(n)
    assert context is not None
    start = np.concatenate([np.zeros(k), np.linspace(-1, 1, k), np.zeros(k + 2)])
    mask = np.array([[[1.0, 0.0, 1.0, 0.0]]])
    wanted, terms = as_numpy(x), np.zeros(n)
    for row, (image, given) in enumerate(zip(as_numpy(x), as_numpy(context), strict=True)):
        params = _net(np.concatenate([image * mask, mask]), given, w) + start[:, None, None]
        for place in ((0, 1), (0, 3)):
            logits, means, raw_scales, (raw_a, b) = np.split(params[:, place[0], place[1]], [k, 2 * k, 3 * k])
            weights = np.exp(logits) / np.exp(logits).sum()
            scales, a = raw_scales / (1 + abs(raw_scales) / 5), raw_a / (1 + abs(raw_a) / 5)
            u = (image[0][place] - means) * np.exp(-scales)
            mass, density = (weights * expit(u)).sum(), (weights * expit(u) * expit(-u) * np.exp(-scales)).sum()
            wanted[row, 0][place] = logit(mass) * np.exp(a) + b
            terms[row] += math.log(density) - math.log(mass) - math.log1p(-mass) + a
    z, log_term = made.transform.to_latent(x, context)
    np.testing.assert_allclose(as_numpy(z), wanted, atol=1e-10)
    np.testing.assert_allclose(as_numpy(log_term), terms, atol=1e-10)
    back, back_term = made.transform.to_data(torch.from_numpy(wanted), context)
    np.testing.assert_allclose(as_numpy(back), as_numpy(x), atol=1e-10)
    np.testing.assert_allclose(as_numpy(back_term), -terms, atol=1e-10)


@golden("transform: variational dequantise")
def test_variational_dequantisation_is_section_3_1_of_the_paper() -> None:
    made, n, levels = subject(BY_NAME["transform: variational dequantise"]), 20, 4
    w, x, noise = weights_of(made), as_numpy(made.data(n)), made.noise(n)
    assert isinstance(noise, torch.Tensor)
    eps = as_numpy(noise)
    seen = 2 * x / (levels - 1) - 1
    v, log_slope = logit(norm.cdf(eps)), (norm.logpdf(eps) - norm.logcdf(eps) - norm.logsf(eps)).sum(1)
    for i in (3, 2, 1, 0):
        kept, changed = (0, 1) if i % 2 == 0 else (1, 0)
        name = f"density.transform.transforms.{i}.net"
        h = np.concatenate([v[:, [kept]], seen], 1) @ w[f"{name}.layers.0.weight"].T + w[f"{name}.layers.0.bias"]
        t, raw = ((h * expit(h)) @ w[f"{name}.last.weight"].T + w[f"{name}.last.bias"]).T
        s = raw / (1 + abs(raw) / 5)
        v[:, changed] = (v[:, changed] - t) * np.exp(-s)
        log_slope -= s
    u = expit(v)
    log_q = norm.logpdf(eps).sum(1) - log_slope - (np.log(u) + np.log1p(-u)).sum(1)
    y, log_term = made.transform.to_latent(made.data(n), None, noise)
    np.testing.assert_allclose(as_numpy(y), (x + u) / levels, atol=1e-10)
    np.testing.assert_allclose(as_numpy(log_term), -log_q - 2 * math.log(levels), atol=1e-10)
    back, back_term = made.transform.to_data(y)
    np.testing.assert_array_equal(as_numpy(back), x)
    np.testing.assert_allclose(as_numpy(back_term), -as_numpy(log_term), atol=1e-10)
