"""The residual convolutional net of Real NVP."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pushforward.errors import OptionError
from pushforward.module_state import HasScaleParameters
from pushforward.nets.mlp import INPUT_LIMIT

NORMS = ("batch", "instance", "none")


class WeightNormConv2d(nn.Module, HasScaleParameters):
    """A convolution whose filters are ``direction / |direction|``, times a learned magnitude where asked for.

    Source: Salimans & Kingma, "Weight normalization", 2016. ``zero=True`` starts it at 0 through the magnitude: a zero
    direction has no gradient.
    """

    def __init__(self, inputs: int, outputs: int, size: int, magnitude: bool = False, zero: bool = False) -> None:
        super().__init__()
        self.direction = nn.Parameter(torch.empty(outputs, inputs, size, size))
        bound = (2 / (inputs * size * size)) ** 0.5
        nn.init.uniform_(self.direction, -bound, bound)
        self.magnitude = nn.Parameter(torch.full((outputs, 1, 1, 1), float(not zero))) if magnitude or zero else None
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.padding = size // 2

    def forward(self, h: Tensor) -> Tensor:
        weight = F.normalize(self.direction.flatten(1), dim=1, eps=1e-8).reshape(self.direction.shape)
        if self.magnitude is not None:
            weight = weight * self.magnitude
        return F.conv2d(h, weight, self.bias, padding=self.padding)

    def scale_parameters(self) -> tuple[nn.Parameter, ...]:
        return () if self.magnitude is None else (self.magnitude,)


class ResidualBlock(nn.Module):
    """Norm, ReLU, 3 x 3, norm, ReLU, 3 x 3, added to its input; a context shifts what the second norm gives."""

    def __init__(self, channels: int, norm: str, context_dim: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = make_norm(norm, channels), make_norm(norm, channels)
        self.conv1 = WeightNormConv2d(channels, channels, 3, magnitude=norm == "none")
        self.conv2 = WeightNormConv2d(channels, channels, 3, magnitude=norm == "none")
        self.context = nn.Linear(context_dim, channels) if context_dim else None

    def forward(self, h: Tensor, context: Tensor | None) -> Tensor:
        r = self.norm2(self.conv1(F.relu(self.norm1(h))))
        r = shifted(r, self.context, context)
        out: Tensor = h + self.conv2(F.relu(r))
        return out


class ResidualConvNet(nn.Module):
    """Images ``(B, in_channels, H, W)`` to ``(B, out_channels, H, W)``; gives 0 at the start.

    The input is normalised, doubled to ``[h, -h]`` (with ``mask: (1, H, W)`` beside it where given) and rectified; a
    3 x 3 convolution and ``blocks`` residual blocks follow; a 1 x 1 skip from the first convolution and from each block
    is summed, normalised, rectified and mapped by a last 1 x 1 convolution that starts at magnitude zero.

    norm: ``batch``, ``instance`` or ``none``. Source: Real NVP, section 4.1, and the authors' code, which doubles the
    checkerboard input after its normalisation; here that normalisation has a learned scale instead.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        channels: int = 32,
        blocks: int = 2,
        norm: str = "batch",
        context_dim: int = 0,
        mask: Tensor | None = None,
    ) -> None:
        super().__init__()
        if norm not in NORMS:
            raise OptionError(f"norm {norm!r} is not known; expected one of {', '.join(NORMS)}")
        self.mask = None if mask is None else nn.Buffer(mask.detach().clone(), persistent=False)
        # Masked pixels count as zeros in these moments: it is the net's input only, no density depends on them.
        self.input_norm = make_norm(norm, in_channels)
        inputs = 2 * in_channels + (mask is not None)
        self.first = WeightNormConv2d(inputs, channels, 3, magnitude=norm == "none")
        self.blocks = nn.ModuleList(ResidualBlock(channels, norm, context_dim) for _ in range(blocks))
        skips = blocks + 1
        self.skips = nn.ModuleList(WeightNormConv2d(channels, channels, 1, norm == "none") for _ in range(skips))
        self.last_norm = make_norm(norm, channels)
        self.context = nn.Linear(context_dim, channels) if context_dim else None
        self.last = WeightNormConv2d(channels, out_channels, 1, zero=True)

    def forward(self, h: Tensor, context: Tensor | None = None) -> Tensor:
        context = tame_context(context)
        h = self.input_norm(h.clamp(-INPUT_LIMIT, INPUT_LIMIT))
        parts = [h, -h]
        if self.mask is not None:
            parts.append(self.mask.expand(h.shape[0], *self.mask.shape))
        h = self.first(F.relu(torch.cat(parts, 1)).contiguous(memory_format=torch.channels_last))
        total = self.skips[0](h)
        for block, skip in zip(self.blocks, list(self.skips)[1:], strict=True):
            h = block(h, context)
            total = total + skip(h)
        out: Tensor = self.last(F.relu(shifted(self.last_norm(total), self.context, context)))
        return out


def shifted(h: Tensor, layer: nn.Linear | None, context: Tensor | None) -> Tensor:
    """``h: (B, C, H, W)`` plus a number a channel from the context; after a norm, which would remove it again."""
    if layer is None or context is None:
        return h
    out: Tensor = h + layer(context)[:, :, None, None]
    return out


def tame_context(context: Tensor | None) -> Tensor | None:
    """A context as flat vectors ``(B, context_dim)`` of bounded size."""
    return None if context is None else context.flatten(1).clamp(-INPUT_LIMIT, INPUT_LIMIT)


def make_norm(norm: str, channels: int) -> nn.Module:
    """A normalisation of the net's own activations; not a flow step, it needs no log-determinant."""
    if norm == "batch":
        return nn.BatchNorm2d(channels, eps=1e-4)
    if norm == "instance":
        return nn.GroupNorm(channels, channels, eps=1e-4)
    return nn.Identity()
