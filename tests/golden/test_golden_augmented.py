"""Autoencoder steps and continuously indexed steps against numpy and scipy, written from the papers' equations."""

import numpy as np
import torch
from scipy.stats import norm

from checking import golden
from formulas import Array, as_numpy, mlp, silu, soft_clamp, weights_of
from pushforward.transforms.base import Chain
from registry import BY_NAME
from subjects import subject

_ROWS = 20


class _Located:
    """A normal whose mean and deviation a net computes: noise = value exp(s) + t."""

    def __init__(self, w: dict[str, Array], prefix: str) -> None:
        self._w, self._prefix = w, prefix

    def scale_and_shift(self, given: Array) -> tuple[Array, Array]:
        start = self._w[f"{self._prefix}weight"]
        raw = mlp(self._w, f"{self._prefix}net.net.", given, silu).reshape(-1, *start.shape) + start
        return soft_clamp(raw[:, 1], 5), raw[:, 0]

    def log_prob(self, value: Array, given: Array) -> Array:
        s, t = self.scale_and_shift(given)
        out: Array = norm(-t * np.exp(-s), np.exp(-s)).logpdf(value).sum(1)
        return out

    def draw(self, noise: Array, given: Array) -> Array:
        s, t = self.scale_and_shift(given)
        return (noise - t) * np.exp(-s)


def _noise(size: int) -> Array:
    return np.random.default_rng(0).standard_normal((_ROWS, size))


@golden("transform: autoencoder step")
def test_an_autoencoder_step_is_the_evidence_lower_bound_less_the_density_of_its_latent() -> None:
    made = subject(BY_NAME["transform: autoencoder step"])
    assert isinstance(made.transform, Chain)
    step = next(iter(made.transform))
    w, x = weights_of(made), as_numpy(made.data(_ROWS))
    encoder, decoder = (_Located(w, f"transforms.0.{name}.transform.") for name in ("encoder", "decoder"))
    noise = _noise(1)
    z = encoder.draw(noise, x)
    got, log_term = step.to_latent(torch.from_numpy(x), None, torch.from_numpy(noise))
    np.testing.assert_allclose(as_numpy(got), z, atol=1e-10)
    np.testing.assert_allclose(as_numpy(log_term), decoder.log_prob(x, z) - encoder.log_prob(z, x), atol=1e-10)
    noise = _noise(2)
    x = decoder.draw(noise, z)
    back, back_term = step.to_data(torch.from_numpy(z), None, torch.from_numpy(noise))
    np.testing.assert_allclose(as_numpy(back), x, atol=1e-10)
    np.testing.assert_allclose(as_numpy(back_term), encoder.log_prob(z, x) - decoder.log_prob(x, z), atol=1e-10)


@golden("transform: continuously indexed, 1 feature", "transform: continuously indexed")
def test_a_continuously_indexed_step_is_the_joint_of_its_index_and_its_data() -> None:
    for features, name in ((1, "continuously indexed, 1 feature"), (2, "continuously indexed")):
        made = subject(BY_NAME[f"transform: {name}"])
        assert isinstance(made.transform, Chain)
        step = next(iter(made.transform))
        w, x = weights_of(made), as_numpy(made.data(_ROWS))
        by_index, prior, posterior = (
            _Located(w, f"transforms.0.{part}.transform.transforms.0.") for part in ("by_index", "prior", "posterior")
        )
        noise = _noise(1)
        u = posterior.draw(noise, x)
        y, inner_term = _inner(w, x)
        s, t = by_index.scale_and_shift(u)
        z = y * np.exp(s) + t
        term = inner_term + s.sum(1) + prior.log_prob(u, z) - posterior.log_prob(u, x)
        got, log_term = step.to_latent(torch.from_numpy(x), None, torch.from_numpy(noise))
        np.testing.assert_allclose(as_numpy(got), z, atol=1e-10)
        np.testing.assert_allclose(as_numpy(log_term), term, atol=1e-10)
        # The same index, drawn from the prior given z, leads back to the same x.
        s, t = prior.scale_and_shift(z)
        back, back_term = step.to_data(torch.from_numpy(z), None, torch.from_numpy(u * np.exp(s) + t))
        np.testing.assert_allclose(as_numpy(back), x, atol=1e-10)
        np.testing.assert_allclose(as_numpy(back_term), -term, atol=1e-10)
        assert x.shape[1] == features


def _inner(w: dict[str, Array], x: Array) -> tuple[Array, Array]:
    """An affine map of one feature, or an affine coupling of the second of two given the first."""
    if x.shape[1] == 1:
        t, raw = w["transforms.0.inner.weight"]
        s = soft_clamp(raw, 5)
        return x * np.exp(s) + t, np.broadcast_to(s, x.shape).sum(1)
    out = mlp(w, "transforms.0.inner.net.", x[:, :1], np.tanh, hidden=2)
    t, s = out[:, :1], w["transforms.0.inner.map.log_scale.rescale"] * np.tanh(out[:, 1:])
    return np.concatenate([x[:, :1], x[:, 1:] * np.exp(s) + t], 1), s.sum(1)
