"""Glow's convolutional net, with activation normalisation that is initialised from data."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pushforward.channel_moments import channel_moments
from pushforward.differentiation import added, channels_last
from pushforward.module_state import InitialisedByData
from pushforward.nets.conv import shifted, tame_context
from pushforward.nets.data_init import DataInitialisedNet
from pushforward.nets.mlp import INPUT_LIMIT


class EdgeConv2d(nn.Module):
    """A ``size x size`` convolution that detects the border of the image: it pads zeros, and ones in an extra channel.

    That channel is 0 inside the image, so that its taps add a constant for each position and output. The middle tap is
    always inside and is left out. Filters start at random, with norm 1 on average, or at 0.

    Source: Kingma & Dhariwal, "Glow", 2018 (the authors' code, where filters start at a size for 512 channels).
    """

    def __init__(self, inputs: int, outputs: int, size: int, zero: bool = False) -> None:
        super().__init__()
        std = 0.0 if zero else (inputs * size * size) ** -0.5
        self.weight = nn.Parameter(std * torch.randn(outputs, inputs, size, size))
        self.edge = nn.Parameter(torch.zeros(outputs, size * size - 1)) if size > 1 else None
        self.size, self.padding = size, size // 2

    def forward(self, h: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
        """``scale * conv(h) + bias`` for ``h: (B, inputs, H, W)``, ``scale`` and ``bias: (outputs,)``."""
        weight = self.weight * scale[:, None, None, None]
        if self.edge is None:
            return F.conv2d(h, weight, bias)
        ends = (self.edge * scale[:, None]) @ self._outside(h)
        ends = (ends + bias[:, None]).reshape(1, -1, *h.shape[2:])
        return added(F.conv2d(h, weight, padding=self.padding), channels_last(ends))

    def _outside(self, h: Tensor) -> Tensor:
        """For each tap but the middle one and each position, 1 where it lies outside the image: (taps, H * W)."""
        p, middle = self.padding, self.size * self.size // 2
        taps = F.unfold(F.pad(h.new_zeros(1, 1, *h.shape[2:]), (p, p, p, p), value=1.0), self.size)[0]
        return torch.cat([taps[:middle], taps[middle + 1 :]])


class ActNormConv2d(nn.Module, InitialisedByData):
    """An `EdgeConv2d` followed by a learned offset and log-scale for each channel, set from data by `initialise`."""

    def __init__(self, inputs: int, outputs: int, size: int) -> None:
        super().__init__()
        self.conv = EdgeConv2d(inputs, outputs, size)
        self.offset = nn.Parameter(torch.zeros(outputs))
        self.log_std = nn.Parameter(torch.zeros(outputs))
        self.initialised = nn.Buffer(torch.zeros((), dtype=torch.bool))

    def forward(self, h: Tensor) -> Tensor:
        # Applied to the filters, the normalisation needs no pass over the activations and stores none of them.
        scale = (-self.log_std).exp()
        out: Tensor = self.conv(h, scale, -self.offset * scale)
        return out

    @torch.no_grad()
    def initialise(self, h: Tensor) -> None:
        """Give each channel mean 0 and variance 1 over ``h: (B, inputs, H, W)``, unless it is initialised already."""
        if bool(self.initialised):
            return
        mean, std = channel_moments(self.conv(h, torch.ones_like(self.offset), torch.zeros_like(self.offset)))
        self.offset.copy_(mean)
        self.log_std.copy_(std.log())
        self.initialised.fill_(True)


class ZeroConv2d(nn.Module):
    """A 3 x 3 `EdgeConv2d` that starts at 0, times ``exp(3 log_scale)`` for each channel; it returns a map's
    parameters.

    A linear layer that starts at 0 too adds a context ``(B, context_dim)``.
    """

    def __init__(self, inputs: int, outputs: int, context_dim: int = 0) -> None:
        super().__init__()
        self.conv = EdgeConv2d(inputs, outputs, 3, zero=True)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.log_scale = nn.Parameter(torch.zeros(outputs))
        self.context = nn.Linear(context_dim, outputs) if context_dim else None
        if self.context is not None:
            nn.init.zeros_(self.context.weight)
            nn.init.zeros_(self.context.bias)

    def forward(self, h: Tensor, context: Tensor | None = None) -> Tensor:
        return self.of_tame(tame(h), context)

    def of_tame(self, h: Tensor, context: Tensor | None = None) -> Tensor:
        """`forward` of an input that is `tame` already."""
        scale = (3 * self.log_scale).exp()
        return shifted(self.conv(h, scale, self.bias * scale), self.context, tame_context(context))


class ActNormConvNet(DataInitialisedNet):
    """A convolutional net: images ``(B, in_channels, H, W)`` to ``(B, out_channels, H, W)``; returns 0 at the start.

    Layers: 3 x 3, activation normalisation, ReLU, 1 x 1, activation normalisation, ReLU, 3 x 3 that starts at 0. A
    context is added before the first ReLU. Source: Kingma & Dhariwal, "Glow", 2018, appendix B, and the authors' code.

    >>> import torch
    >>> from pushforward.nets import ActNormConvNet
    >>> ActNormConvNet(3, 6, channels=8)(torch.zeros(2, 3, 4, 4)).shape
    torch.Size([2, 6, 4, 4])
    """

    def __init__(self, in_channels: int, out_channels: int, channels: int = 64, context_dim: int = 0) -> None:
        super().__init__()
        self.first = ActNormConv2d(in_channels, channels, 3)
        self.second = ActNormConv2d(channels, channels, 1)
        self.last = ZeroConv2d(channels, out_channels)
        self.context = nn.Linear(context_dim, channels) if context_dim else None

    def extra_repr(self) -> str:
        first, last = self.first.conv.weight, self.last.conv.weight
        return f"{first.shape[1]} -> {first.shape[0]}, {last.shape[1]}, {last.shape[0]}"

    def _first(self, h: Tensor, context: Tensor | None) -> Tensor:
        return F.relu(shifted(self.first(h), self.context, tame_context(context)), inplace=True)

    def forward(self, h: Tensor, context: Tensor | None = None) -> Tensor:
        # A ReLU and the bound of the next input in one, which stores one result for the gradients.
        h = F.hardtanh(self.second(self._first(tame(h), context)), 0.0, INPUT_LIMIT, inplace=True)
        return self.last.of_tame(h)

    def initialise(self, kept: Tensor, context: Tensor | None = None) -> None:
        h = tame(kept)
        self.first.initialise(h)
        self.second.initialise(self._first(h, context))


def tame(h: Tensor) -> Tensor:
    """Images ``(B, C, H, W)`` prepared for a convolution: clamped, with the channels innermost in memory."""
    return channels_last(F.hardtanh(h, -INPUT_LIMIT, INPUT_LIMIT))  # whose backward pass is one operation
