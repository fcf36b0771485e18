"""The residual convolutional net of Real NVP."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pushforward.differentiation import added, channels_last
from pushforward.errors import OptionError
from pushforward.module_state import HasScaleParameters
from pushforward.nets.mlp import INPUT_LIMIT

NORMS = ("batch", "instance", "none")


class WeightNormConv2d(nn.Module, HasScaleParameters):
    """A convolution with weight normalisation: filters ``direction / |direction|``, times an optional magnitude.

    magnitude: its starting value, the same for all filters; None: fixed at 1. A convolution that starts at 0 has
    magnitude 0, because a zero direction has no gradient. bound: directions start uniform in [-bound, bound]; None: a
    bound that makes outputs as large as inputs. Source: Salimans & Kingma, "Weight normalization", 2016.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: int,
        magnitude: float | None = None,
        bias: bool = True,
        bound: float | None = None,
    ) -> None:
        super().__init__()
        self.direction = nn.Parameter(torch.empty(outputs, inputs, size, size))
        bound = (2 / (inputs * size * size)) ** 0.5 if bound is None else bound
        nn.init.uniform_(self.direction, -bound, bound)
        start = None if magnitude is None else torch.full((outputs, 1, 1, 1), float(magnitude))
        self.magnitude = None if start is None else nn.Parameter(start)
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.padding = size // 2

    def forward(self, h: Tensor) -> Tensor:
        weight = F.normalize(self.direction.flatten(1), dim=1, eps=1e-8).reshape(self.direction.shape)
        if self.magnitude is not None:
            weight = weight * self.magnitude
        return F.conv2d(h, weight, self.bias, padding=self.padding)

    def scale_parameters(self) -> tuple[nn.Parameter, ...]:
        return () if self.magnitude is None else (self.magnitude,)


class OffsetBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation with a learned offset and no learned scale; its running variance is the biased estimate.

    Source: the authors' code of Real NVP.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-4, affine=False)
        self.offset = nn.Parameter(torch.zeros(channels))

    def forward(self, h: Tensor) -> Tensor:
        return (self._normalised(h) if self.training else super().forward(h)) + self.offset[:, None, None]

    def _normalised(self, h: Tensor) -> Tensor:
        """``h`` normalised by its own moments, which also update the running ones."""
        mean, var = torch.zeros_like(self.running_mean), torch.zeros_like(self.running_var)
        # With momentum 1 torch stores the batch's moments in these, with the unbiased estimate of the variance.
        out = F.batch_norm(h, mean, var, training=True, momentum=1.0, eps=self.eps)
        count = h.shape[0] * h.shape[2] * h.shape[3]
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            weight = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
            self.running_mean += weight * (mean - self.running_mean)
            self.running_var += weight * (var * ((count - 1) / count) - self.running_var)
        return out


@dataclass(frozen=True)
class _Layers:
    """A factory of the layers of a residual net: normalisations, convolutions inside a branch, and those at its end."""

    norm: str
    published: bool

    def normalisation(self, channels: int) -> nn.Module:
        return OffsetBatchNorm2d(channels) if self.published else make_norm(self.norm, channels)

    def inner(self, inputs: int, outputs: int, size: int, bias: bool = True) -> WeightNormConv2d:
        if self.published:
            return WeightNormConv2d(inputs, outputs, size, bias=bias, bound=(2 / inputs) ** 0.5)
        return WeightNormConv2d(inputs, outputs, size, magnitude=1.0 if self.norm == "none" else None)

    def outer(self, inputs: int, outputs: int, size: int) -> WeightNormConv2d:
        if self.published:
            return WeightNormConv2d(inputs, outputs, size, size / 6**0.5, bound=(2 / inputs) ** 0.5)
        return self.inner(inputs, outputs, size)

    def last(self, inputs: int, outputs: int) -> WeightNormConv2d:
        return self.outer(inputs, outputs, 1) if self.published else WeightNormConv2d(inputs, outputs, 1, magnitude=0.0)


class ResidualBlock(nn.Module):
    """A residual block: norm, ReLU, 3 x 3, norm, ReLU, 3 x 3, plus its input; a context is added after the second
    norm."""

    def __init__(self, channels: int, layers: _Layers, context_dim: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = layers.normalisation(channels), layers.normalisation(channels)
        self.conv1 = layers.inner(channels, channels, 3, bias=not layers.published)
        self.conv2 = layers.outer(channels, channels, 3)
        self.context = nn.Linear(context_dim, channels) if context_dim else None

    def forward(self, h: Tensor, context: Tensor | None) -> Tensor:
        r = self.norm2(self.conv1(rectified(self.norm1, h)))
        r = shifted(r, self.context, context)
        return added(self.conv2(F.relu(r, inplace=True)), h)


class ResidualConvNet(nn.Module):
    """Residual convolutional net: ``(B, in_channels, H, W)`` to ``(B, out_channels, H, W)``; returns 0 at the start.

    The input is normalised, doubled to ``[h, -h]`` (with ``mask: (1, H, W)`` appended where given) and rectified; a 3 x
    3 convolution and ``blocks`` residual blocks follow; a 1 x 1 skip from the first convolution and from each block is
    summed, normalised, rectified and mapped by a last 1 x 1 convolution that starts at magnitude zero.

    norm: ``batch``, ``instance`` or ``none``. published: layers and starting values of the authors' code. Its batch
    normalisations have no learned scale, and a masked input is multiplied by 2 after normalisation. The convolutions
    that end a branch (skips, a block's second, the last) have learned magnitudes, and the net does not start at 0.
    Source: Real NVP, section 4.1, and the authors' code.

    >>> import torch
    >>> from pushforward.nets import ResidualConvNet
    >>> ResidualConvNet(3, 6, channels=8, blocks=1)(torch.zeros(2, 3, 4, 4)).shape
    torch.Size([2, 6, 4, 4])
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
        published: bool = False,
    ) -> None:
        super().__init__()
        if norm not in NORMS:
            raise OptionError(f"norm {norm!r} is not known; expected one of {', '.join(NORMS)}")
        if published and norm != "batch":
            raise OptionError(f"the published net has batch normalisation, got norm {norm!r}")
        layers = _Layers(norm, published)
        self.mask = None if mask is None else nn.Buffer(mask.detach().clone(), persistent=False)
        # Masked pixels count as zeros in these moments, which affect only the net's input and no density directly.
        self.input_norm = layers.normalisation(in_channels)
        self.doubled = published and mask is not None
        inputs = 2 * in_channels + (mask is not None)
        self.first = layers.inner(inputs, channels, 3)
        self.blocks = nn.ModuleList(ResidualBlock(channels, layers, context_dim) for _ in range(blocks))
        self.skips = nn.ModuleList(layers.outer(channels, channels, 1) for _ in range(blocks + 1))
        self.last_norm = layers.normalisation(channels)
        self.context = nn.Linear(context_dim, channels) if context_dim else None
        self.last = layers.last(channels, out_channels)

    def forward(self, h: Tensor, context: Tensor | None = None) -> Tensor:
        context = tame_context(context)
        h = self.input_norm(F.hardtanh(h, -INPUT_LIMIT, INPUT_LIMIT))
        if self.doubled:
            h = 2 * h
        parts = [h, -h]
        if self.mask is not None:
            parts.append(self.mask.expand(h.shape[0], *self.mask.shape))
        h = self.first(channels_last(F.relu(torch.cat(parts, 1), inplace=True)))
        total = self.skips[0](h)
        for block, skip in zip(self.blocks, list(self.skips)[1:], strict=True):
            h = block(h, context)
            total = added(skip(h), total)
        out: Tensor = self.last(F.relu(shifted(self.last_norm(total), self.context, context), inplace=True))
        return out


def rectified(norm: nn.Module, h: Tensor) -> Tensor:
    """The ReLU of ``norm(h)``, in the memory of ``norm(h)`` unless that is ``h`` itself."""
    normalised: Tensor = norm(h)
    return F.relu(normalised, inplace=normalised is not h)


def shifted(h: Tensor, layer: nn.Linear | None, context: Tensor | None) -> Tensor:
    """``h: (B, C, H, W)`` plus one number per channel from the context, added after a norm, which would remove it."""
    if layer is None or context is None:
        return h
    out: Tensor = h + layer(context)[:, :, None, None]
    return out


def tame_context(context: Tensor | None) -> Tensor | None:
    """A context as flat vectors ``(B, context_dim)`` of bounded size."""
    return None if context is None else context.flatten(1).clamp(-INPUT_LIMIT, INPUT_LIMIT)


def make_norm(norm: str, channels: int) -> nn.Module:
    """A normalisation of activations inside a net, which is no flow step and needs no log-determinant."""
    if norm == "batch":
        return nn.BatchNorm2d(channels, eps=1e-4)
    if norm == "instance":
        return nn.GroupNorm(channels, channels, eps=1e-4)
    return nn.Identity()
