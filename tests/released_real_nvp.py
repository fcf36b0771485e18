"""The authors' released model of Real NVP in numpy: its variables and its function, by another route than the library.

Written from a reading of the modules `real_nvp_multiscale_dataset` and `real_nvp_utils` (repository tensorflow/models,
folder research/real_nvp), with their names of variables. Images are ``(B, H, W, C)``, filters ``(height, width, in,
out)``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from formulas import Array

Variables = dict[str, tuple[int, ...]]
_EPS = 1e-4


@dataclass(frozen=True)
class Sizes:
    """Channels of the images and of the first scale's nets, residual blocks of a net, and scales."""

    image_channels: int
    base_dim: int
    residual_blocks: int
    n_scale: int


@dataclass(frozen=True)
class _Coupling:
    name: str
    # Channels of the net's input and its width.
    channels: int
    dim: int
    masked: bool


def _couplings(sizes: Sizes) -> Iterator[_Coupling]:
    """All couplings: number 3 of a scale is at a checkerboard, and there at the last scale only."""
    channels, dim = sizes.image_channels, sizes.base_dim
    for i in range(sizes.n_scale):
        last = i == sizes.n_scale - 1
        for j in (0, 1, 2, 3) if last else (0, 1, 2):
            yield _Coupling(f"scale_{i}/coupling_{j}", channels, dim, True)
        for j in () if last else (4, 5, 6):
            # The squeeze makes four channels of one, and the coupling splits these into halves.
            yield _Coupling(f"scale_{i}/coupling_{j}", 2 * channels, 2 * dim, False)
        channels, dim = 2 * channels, 2 * dim


def _conv(size: int, inputs: int, outputs: int, bias: bool = True, magnitude: bool = False) -> Variables:
    found: Variables = {"weights": (size, size, inputs, outputs)}
    if magnitude:
        found["magnitude"] = (outputs,)
    if bias:
        found["biases"] = (outputs,)
    return found


def _layers(coupling: _Coupling, blocks: int) -> Iterator[tuple[str, Variables]]:
    """Name and trainable variables of each layer of a coupling."""
    channels, dim = coupling.channels, coupling.dim
    yield "bn_in", {"beta": (channels,)}
    yield "resnet/h_in", _conv(3, 2 * channels + coupling.masked, dim)
    yield "resnet/skip_in", _conv(1, dim, dim, magnitude=True)
    for i in range(blocks):
        block = f"resnet/block_{i}"
        yield f"{block}/bn_in", {"beta": (dim,)}
        yield f"{block}/h_0", _conv(3, dim, dim, bias=False)
        yield f"{block}/bn_0", {"beta": (dim,)}
        yield f"{block}/out", _conv(3, dim, dim, magnitude=True)
        yield f"resnet/skip_{i}", _conv(1, dim, dim, magnitude=True)
    yield "resnet/bn_pre_out", {"beta": (dim,)}
    yield "resnet/out", _conv(1, dim, 2 * channels, magnitude=True)


def trainable(sizes: Sizes) -> Variables:
    """Name and shape of every trainable variable."""
    found: Variables = {}
    for coupling in _couplings(sizes):
        for layer, variables in _layers(coupling, sizes.residual_blocks):
            found |= {f"{coupling.name}/{layer}/{name}": shape for name, shape in variables.items()}
        found[f"{coupling.name}/{'rescaling_scale' if coupling.masked else 'scale'}"] = ()
    return found


def starts(sizes: Sizes) -> dict[str, float]:
    """The number at which a variable starts in every entry, for those that are not drawn; of drawn ones the bound."""
    values = {}
    for name, shape in trainable(sizes).items():
        kind = name.rsplit("/", 1)[1]
        if kind == "weights":
            values[name] = float(np.sqrt(2 / shape[2]))
        elif kind == "magnitude":
            height, width, inputs, _ = trainable(sizes)[name.replace("magnitude", "weights")]
            values[name] = float(np.sqrt(2 / inputs) * np.sqrt(inputs * height * width / 12))
        else:
            values[name] = 1.0 if kind == "scale" else 0.0
    return values


def penalised(sizes: Sizes) -> set[str]:
    """The variables under the L2 penalty, which the released code picks by their names."""
    return {name for name in trainable(sizes) if "magnitude" in name or "rescaling_scale" in name}


@dataclass
class Released:
    """The encoder with given variables, and the running moments by name of their layer, which training changes.

    decay: the weight of a batch in the running moments.
    """

    sizes: Sizes
    variables: dict[str, Array]
    train: bool
    moments: dict[str, tuple[Array, Array]] = field(default_factory=dict)
    decay: float = 0.1

    def encode(self, x: Array, scale: int = 0) -> tuple[Array, Array]:
        """Latents ``(B, D)`` and log-determinants ``(B,)`` of ``x`` at a scale and all below it.

        The latents are in the library's order, by scale and then channel: the released code returns them as an image.
        """
        log_diff, board, last = np.zeros_like(x), _checkerboard(x), scale == self.sizes.n_scale - 1
        for j in (0, 1, 2, 3) if last else (0, 1, 2):
            x, more = self.masked(f"scale_{scale}/coupling_{j}", x, board if j % 2 == 0 else 1 - board)
            log_diff = log_diff + more
        if last:
            return _flat(x), _flat(log_diff).sum(1)
        x, log_diff = _squeeze(x), _squeeze(log_diff)
        for j in (4, 5, 6):
            x, more = self.split(f"scale_{scale}/coupling_{j}", x, first_kept=j % 2 == 0)
            log_diff = log_diff + more
        onward, out = np.split(_diagonals(_unsqueeze(x)), 2, 3)
        z, log_det = self.encode(onward, scale + 1)
        return np.concatenate([_flat(out), z], 1), _flat(log_diff).sum(1) + log_det

    def masked(self, name: str, x: Array, kept: Array) -> tuple[Array, Array]:
        h = 2 * self._norm(f"{name}/bn_in", x * kept)
        h = np.concatenate([h, -h, np.broadcast_to(kept, (*x.shape[:3], 1))], 3)
        shift, raw = np.split(self._resnet(f"{name}/resnet", np.maximum(h, 0)), 2, 3)
        changed = 1 - kept
        log_scale = self.variables[f"{name}/rescaling_scale"] * np.tanh(raw) * changed
        x = (x + shift * changed) * np.exp(log_scale)
        mean, var = self._moments(f"{name}/bn_out", x * changed)
        return (
            (x - mean * changed) * np.exp(-0.5 * np.log(var + _EPS) * changed),
            log_scale - 0.5 * np.log(var + _EPS) * changed,
        )

    def split(self, name: str, x: Array, first_kept: bool) -> tuple[Array, Array]:
        first, second = np.split(x, 2, 3)
        kept, changed = (first, second) if first_kept else (second, first)
        h = self._norm(f"{name}/bn_in", kept)
        h = np.maximum(np.concatenate([h, -h], 3), 0)
        shift, raw = np.split(self._resnet(f"{name}/resnet", h), 2, 3)
        log_scale = self.variables[f"{name}/scale"] * np.tanh(raw)
        changed = (changed + shift) * np.exp(log_scale)
        mean, var = self._moments(f"{name}/bn_out", changed)
        changed, log_diff = (changed - mean) / np.sqrt(var + _EPS), log_scale - 0.5 * np.log(var + _EPS)
        none = np.zeros_like(log_diff)
        if first_kept:
            return np.concatenate([kept, changed], 3), np.concatenate([none, log_diff], 3)
        return np.concatenate([changed, kept], 3), np.concatenate([log_diff, none], 3)

    def _resnet(self, name: str, h: Array) -> Array:
        h = self._conv(f"{name}/h_in", h)
        out = self._conv(f"{name}/skip_in", h)
        for i in range(self.sizes.residual_blocks):
            block = f"{name}/block_{i}"
            inner = self._conv(f"{block}/h_0", np.maximum(self._norm(f"{block}/bn_in", h), 0))
            h = h + self._conv(f"{block}/out", np.maximum(self._norm(f"{block}/bn_0", inner), 0))
            out = out + self._conv(f"{name}/skip_{i}", h)
        return self._conv(f"{name}/out", np.maximum(self._norm(f"{name}/bn_pre_out", out), 0))

    def _conv(self, name: str, h: Array) -> Array:
        """Correlation with zeros around, of filters of norm 1 times their magnitudes."""
        weights = self.variables[f"{name}/weights"]
        weights = weights / np.sqrt((weights**2).sum((0, 1, 2))) * self.variables.get(f"{name}/magnitude", 1.0)
        size, (_, height, width, _) = len(weights), h.shape
        padded = np.pad(h, ((0, 0), (size // 2, size // 2), (size // 2, size // 2), (0, 0)))
        out = sum(
            padded[:, i : i + height, j : j + width] @ weights[i, j] for i in range(size) for j in range(size)
        ) + self.variables.get(f"{name}/biases", 0.0)
        return np.asarray(out)

    def _norm(self, name: str, h: Array) -> Array:
        mean, var = self._moments(name, h)
        out: Array = (h - mean) / np.sqrt(var + _EPS) + self.variables[f"{name}/beta"]
        return out

    def _moments(self, name: str, h: Array) -> tuple[Array, Array]:
        """The moments that normalise: the batch's in training, which the running ones then move towards."""
        mean, var = self.moments.get(name, (np.zeros(h.shape[3]), np.ones(h.shape[3])))
        if not self.train:
            return mean, var
        batch = h.mean((0, 1, 2)), h.var((0, 1, 2))
        self.moments[name] = mean - self.decay * (mean - batch[0]), var - self.decay * (var - batch[1])
        return batch


def _checkerboard(x: Array) -> Array:
    """1 where row plus column is even: ``(1, H, W, 1)``."""
    rows, columns = np.arange(x.shape[1]), np.arange(x.shape[2])
    board: Array = ((rows[:, None] + columns + 1) % 2).astype(float)[None, :, :, None]
    return board


def _squeeze(x: Array) -> Array:
    """Pixels of each 2 x 2 square as channels, those of one channel together."""
    b, h, w, c = x.shape
    return x.reshape(b, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 5, 2, 4).reshape(b, h // 2, w // 2, 4 * c)


def _unsqueeze(x: Array) -> Array:
    b, h, w, c = x.shape
    return x.reshape(b, h, w, c // 4, 2, 2).transpose(0, 1, 4, 2, 5, 3).reshape(b, 2 * h, 2 * w, c // 4)


def _diagonals(x: Array) -> Array:
    """Channels: all of the upper left pixels of the 2 x 2 squares, then lower right, upper right, lower left."""
    return np.concatenate([x[:, 0::2, 0::2], x[:, 1::2, 1::2], x[:, 0::2, 1::2], x[:, 1::2, 0::2]], 3)


def _flat(x: Array) -> Array:
    return x.transpose(0, 3, 1, 2).reshape(len(x), -1)
