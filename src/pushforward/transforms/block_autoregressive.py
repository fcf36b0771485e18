"""Block neural autoregressive flow: one net whose own derivative is triangular and positive on the diagonal.

Source: De Cao, Titov & Aziz, "Block Neural Autoregressive Flow", 2019.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pushforward.coordinate_blocks import CoordinateBlocks
from pushforward.errors import OptionError
from pushforward.events import log_dtype
from pushforward.maps.affine import SoftClampScale
from pushforward.maps.numeric import Search, invert
from pushforward.nets.context import flat_context
from pushforward.nets.mlp import INPUT_LIMIT
from pushforward.nets.staged import Stages, invert_stages
from pushforward.noise import NoiseValue
from pushforward.precision import full_precision
from pushforward.transforms.base import Transform


class BlockLinear(nn.Module):
    """A layer from ``inputs`` to ``outputs`` units for each of ``features`` coordinates (section 3, eqs. 7 to 9).

    Block (i, j) of the matrix is free for j < i, zero for j > i and positive, an exponential, for i = j; the rows are
    normalised and have a learned length.
    """

    def __init__(self, features: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.features, self.inputs, self.outputs = features, inputs, outputs
        row = torch.arange(features).repeat_interleave(outputs)[:, None]
        column = torch.arange(features).repeat_interleave(inputs)[None]
        self.mask = nn.Buffer(row >= column, persistent=False)
        self.on_diagonal = nn.Buffer(row == column, persistent=False)
        free = (2 * torch.rand(features * outputs, features * inputs) - 1) / (features * inputs) ** 0.5
        self.weight = nn.Parameter(free * self.mask)
        self.log_length = nn.Parameter(torch.zeros(features * outputs))
        self.bias = nn.Parameter(2 * torch.rand(features * outputs) - 1)
        self.bounded = SoftClampScale(10.0)

    def matrix(self) -> tuple[Tensor, Tensor]:
        """The matrix ``(D outputs, D inputs)`` and the logs of its diagonal blocks ``(D, outputs, inputs)``."""
        log = self.bounded(self.weight)
        matrix = torch.where(self.on_diagonal, log.exp(), self.weight * self.mask)
        # Never zero: every row has positive entries.
        log_scale = self.log_length - matrix.square().sum(1).log() / 2
        blocks = log.reshape(self.features, self.outputs, self.features, self.inputs)
        diagonal = blocks.diagonal(dim1=0, dim2=2).movedim(2, 0)
        return matrix * log_scale.exp()[:, None], diagonal + log_scale.reshape(self.features, self.outputs, 1)


class BlockAutoregressive(Transform):
    """The transform ``z = g f(x) + (1 - g) x`` of vectors (D,), with ``f`` a net of block-triangular layers and tanh.

    hidden: units *for each coordinate* in the hidden layers. ``g`` is a learned number between 0 and 1 (section 3.3);
    it makes the transform onto, because ``f`` alone is bounded. The context is added to every hidden layer. `to_latent`
    is one pass. `to_data` computes the coordinates in turn, each as a numeric root that evaluates that coordinate's
    units only.

    >>> import torch
    >>> from pushforward.transforms import BlockAutoregressive
    >>> step, x = BlockAutoregressive(2, hidden=(4,)), torch.randn(3, 2)
    >>> z, log_term = step.to_latent(x)
    >>> torch.allclose(step.to_data(z)[0], x, atol=1e-4)
    True
    """

    def __init__(self, features: int, hidden: Sequence[int] = (16, 16), context_dim: int = 0) -> None:
        super().__init__()
        if not hidden or min(hidden) < 1:
            raise OptionError(f"hidden must be one or more numbers of units for each coordinate, got {tuple(hidden)}")
        self.data_shape = self.latent_shape = (features,)
        self.features, self.context_dim = features, context_dim
        self.order = CoordinateBlocks([1] * features)
        widths = (1, *hidden, 1)
        self.layers = nn.ModuleList(BlockLinear(features, a, b) for a, b in itertools.pairwise(widths))
        # The output layer too: a context then reaches every coordinate, whatever the hidden units do.
        self.from_context = nn.ModuleList(
            nn.Linear(context_dim, features * width, bias=False) for width in widths[1:] if context_dim
        )
        self.raw_gate = nn.Parameter(torch.full((), -1.0))

    def _layers(self, context: Tensor | None, like: Tensor) -> list[_Layer]:
        """The quantities of each layer: matrix, logs of its diagonal blocks, offsets ``(units, B or 1)``."""
        context = flat_context(context, self.context_dim, "BlockAutoregressive")
        layers = []
        for i, layer in enumerate(self.layers):
            assert isinstance(layer, BlockLinear)
            matrix, blocks = layer.matrix()
            offset = layer.bias[:, None]
            if context is not None:
                offset = offset + self.from_context[i](context).t()
            layers.append((matrix, blocks, offset.expand(-1, len(like))))
        return layers

    def _gated(self, f: Tensor, log_slope: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        log_gate, log_rest = self._gate()
        return log_gate.exp() * f + log_rest.exp() * x, torch.logaddexp(log_gate + log_slope, log_rest)

    def _gate(self) -> Tensor:
        """The logs of the weights of ``f`` and of the identity."""
        # Bounded, so that the identity has a weight of at least 0.1 %: less would be lost in rounding.
        raw = 7 * (self.raw_gate / 7).tanh()
        return F.logsigmoid(torch.stack([raw, -raw]))

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        with full_precision(x):
            layers, columns = self._layers(context, x), x.t()
            h = columns.clamp(-INPUT_LIMIT, INPUT_LIMIT)
            log_slope = torch.zeros_like(columns)[:, None]
            for i, (matrix, blocks, offset) in enumerate(layers):
                pre = matrix @ h + offset
                log_slope = log_matmul(blocks, log_slope)
                if i < len(layers) - 1:
                    h = pre.tanh()
                    log_slope = log_slope + log_tanh_slope(pre).reshape(log_slope.shape)
            z, slopes = self._gated(pre, _clamped_slope(log_slope[:, 0], columns), columns)
        return z.t(), slopes.sum(0, dtype=log_dtype(x))

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        with full_precision(z):
            return invert_stages(self.order, z, self._stages(self._layers(context, z)), self._inverse)

    def _stages(self, layers: list[_Layer]) -> Stages[list[_Layer]]:
        """From the coordinates so far to the next coordinate's part of each layer; units of earlier ones are cached."""
        units: list[list[Tensor]] = [[] for _ in layers]
        parts: list[list[_Layer]] = []

        def next_part(known: Sequence[Tensor]) -> list[_Layer]:
            if known:
                for cache, inputs in zip(units, self._inputs(known[-1].t(), parts[-1]), strict=True):
                    cache.append(inputs)
            parts.append([self._of_coordinate(len(known), *pair) for pair in zip(layers, units, strict=True)])
            return parts[-1]

        return next_part

    def _inverse(self, z: Tensor, part: list[_Layer]) -> tuple[Tensor, Tensor]:
        search = Search(lambda x: self._quickly(x, part), lambda z: self._bracket(z, part))
        x, log_slope = invert(lambda x: self._along(x, part), z.t(), search=search)
        return x.t(), log_slope.t()

    def _bracket(self, z: Tensor, part: list[_Layer]) -> tuple[Tensor, Tensor]:
        """The coordinates between which the one with latent ``z: (1, B)`` lies: ``f`` is a positive combination of
        units between -1 and 1, plus an offset."""
        block, _, offset = part[-1]
        gate = self._gate().exp()
        centre, reach = (z - gate[0] * offset) / gate[1], gate[0] * block.sum() / gate[1]
        # Both ends move out by the rounding of this and of the latent.
        room = 32 * torch.finfo(z.dtype).eps * (z.abs() + (gate[0] * offset).abs() + centre.abs() + reach) / gate[1]
        return centre - reach - room, centre + reach + room

    def _quickly(self, x: Tensor, part: list[_Layer]) -> tuple[Tensor, Tensor]:
        """The latent and the log-slope of `_along`, with slopes that are 0 where they round to 0 next to the gate's."""
        h = x.clamp(-INPUT_LIMIT, INPUT_LIMIT)
        slope = (x.abs() < INPUT_LIMIT).to(x.dtype)
        for i, (block, _, offset) in enumerate(part):
            h = torch.addmm(offset, block, h)
            slope = block @ slope
            if i < len(part) - 1:
                h = h.tanh_()
                slope = slope - slope * (h * h)
        gate, rest = self._gate().exp()
        return gate * h + rest * x, (gate * slope + rest).log()

    def _of_coordinate(self, i: int, layer: _Layer, known: list[Tensor]) -> _Layer:
        """A layer's part for coordinate ``i``: its positive block, the logs of it, offsets of all before it."""
        matrix, blocks, offset = layer
        outputs, inputs = blocks.shape[1:]
        rows = matrix[i * outputs : (i + 1) * outputs]
        offset = offset[i * outputs : (i + 1) * outputs]
        if known:
            offset = offset + rows[:, : i * inputs] @ torch.cat(known)
        return rows[:, i * inputs : (i + 1) * inputs], blocks[i : i + 1], offset

    def _inputs(self, x: Tensor, part: list[_Layer]) -> list[Tensor]:
        """The inputs of all layers for one coordinate ``x: (1, B)`` given those before."""
        inputs = [x.clamp(-INPUT_LIMIT, INPUT_LIMIT)]
        for block, _, offset in part[:-1]:
            inputs.append((block @ inputs[-1] + offset).tanh())
        return inputs

    def _along(self, x: Tensor, part: list[_Layer]) -> tuple[Tensor, Tensor]:
        """One coordinate ``x: (1, B)`` given those before: its latent and the log-slope."""
        h = x.clamp(-INPUT_LIMIT, INPUT_LIMIT)
        log_slope = torch.zeros_like(x)[:, None]
        for i, (block, logs, offset) in enumerate(part):
            pre = block @ h + offset
            log_slope = log_matmul(logs, log_slope)
            if i < len(part) - 1:
                h = pre.tanh()
                log_slope = log_slope + log_tanh_slope(pre)[None]
        return self._gated(pre, _clamped_slope(log_slope[:, 0], x), x)


_Layer = tuple[Tensor, Tensor, Tensor]


def log_matmul(blocks: Tensor, log_slope: Tensor) -> Tensor:
    """Logs of products of positive matrices, ``(D, out, in)`` and ``(D, in, B)`` as logs, to ``(D, out, B)``."""
    largest = log_slope.amax(1, keepdim=True).detach()
    product = blocks.exp() @ (log_slope - largest).exp()
    return product.clamp(min=torch.finfo(product.dtype).tiny).log() + largest


def log_tanh_slope(x: Tensor) -> Tensor:
    """``log(1 - tanh(x)^2)``, accurate far out."""
    x = x.abs()
    return 2 * (math.log(2) - x + F.logsigmoid(2 * x))


def _clamped_slope(log_slope: Tensor, x: Tensor) -> Tensor:
    """The log-slope of a net whose input is clamped: 0 beyond the limit, where only the gate's identity remains."""
    return torch.where(x.abs() < INPUT_LIMIT, log_slope, -torch.inf)
