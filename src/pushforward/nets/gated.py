"""The gated convolutional nets of Flow++: with attention between pixels for couplings, without it for contexts."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pushforward.differentiation import channels_last
from pushforward.errors import OptionError
from pushforward.events import Shape
from pushforward.nets.dropout import Dropout
from pushforward.nets.mlp import INPUT_LIMIT

Size = tuple[int, int]


class GatedConv(nn.Module):
    """A convolution, a context added to it, and a gated 1 x 1 convolution, added to the input; concat-ELU before each.

    Source: Salimans, Karpathy, Chen & Kingma, "PixelCNN++", 2017, section 2.5.
    """

    def __init__(self, channels: int, size: Size, context_channels: int, dropout: float) -> None:
        super().__init__()
        self.conv = same_conv(2 * channels, channels, size)
        self.context = nn.Conv2d(2 * context_channels, channels, 1) if context_channels else None
        self.dropout = Dropout(dropout)
        self.gated = nn.Conv2d(2 * channels, 2 * channels, 1)

    def forward(self, h: Tensor, context: Tensor | None) -> Tensor:
        r = self.conv(concat_elu(h))
        if self.context is not None and context is not None:
            r = r + self.context(concat_elu(context))
        value, gate = self.gated(self.dropout(concat_elu(r))).chunk(2, 1)
        out: Tensor = h + value * gate.sigmoid()
        return out


class GatedAttention(nn.Module):
    """Multi-head attention between pixels ``(B, N, channels)`` with learned positions, gated and added to its input."""

    def __init__(self, channels: int, pixels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.position = nn.Parameter(0.01 * torch.randn(pixels, channels))
        # No bias: one of the keys would add the same to all logits of a query.
        self.qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.gated = nn.Linear(channels, 2 * channels)

    def forward(self, h: Tensor) -> Tensor:
        query, key, value = self.qkv(h + self.position).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        value, gate = self.gated(attended).chunk(2, 2)
        out: Tensor = h + value * gate.sigmoid()
        return out


class GatedBlock(nn.Module):
    """A gated convolution and gated attention, each followed by a layer normalisation over the channels of a pixel."""

    def __init__(self, channels: int, size: Size, heads: int, context_channels: int, dropout: float) -> None:
        super().__init__()
        self.conv = GatedConv(channels, size, context_channels, dropout)
        self.norm = nn.LayerNorm(channels)
        # A single pixel has no other to attend to.
        alone = size == (1, 1)
        self.attention = None if alone else GatedAttention(channels, size[0] * size[1], heads)
        self.attention_norm = None if alone else nn.LayerNorm(channels)

    def forward(self, h: Tensor, context: Tensor | None) -> Tensor:
        h = self.conv(h, context)
        pixels = self.norm(h.permute(0, 2, 3, 1).flatten(1, 2))
        if self.attention is not None and self.attention_norm is not None:
            pixels = self.attention_norm(self.attention(pixels))
        out: Tensor = pixels.unflatten(1, h.shape[2:]).permute(0, 3, 1, 2)
        return out


class GatedAttentionNet(nn.Module):
    """A gated net from images ``(B, in_channels, H, W)`` to ``(B, out_channels, H, W)``; returns 0 at the start.

    A 3 x 3 convolution (with ``mask: (1, H, W)`` appended to the input where given), ``blocks`` of a gated convolution
    and gated attention with ``heads`` heads, and a last 3 x 3 convolution that starts at zero. The context, a vector
    ``(B, K)`` for all pixels or an image ``(B, K, H, W)``, enters every gated convolution. The authors' code has weight
    normalisation, set from data, in every layer; here the layers are plain.

    Source: Ho, Chen, Srinivas, Duan & Abbeel, "Flow++", 2019, section 3.3. Raises OptionError.

    >>> import torch
    >>> from pushforward.nets import GatedAttentionNet
    >>> GatedAttentionNet(2, 4, (4, 4), channels=8, blocks=1, heads=2)(torch.zeros(3, 2, 4, 4)).shape
    torch.Size([3, 4, 4, 4])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        size: Size,
        channels: int = 32,
        blocks: int = 2,
        heads: int = 4,
        dropout: float = 0.0,
        context_channels: int = 0,
        mask: Tensor | None = None,
    ) -> None:
        super().__init__()
        if channels % heads:
            raise OptionError(f"channels must be a multiple of heads, got {channels} channels and {heads} heads")
        self.mask = None if mask is None else nn.Buffer(mask.detach().clone(), persistent=False)
        self.first = same_conv(in_channels + (mask is not None), channels, size)
        self.blocks = nn.ModuleList(GatedBlock(channels, size, heads, context_channels, dropout) for _ in range(blocks))
        self.last = same_conv(channels, out_channels, size)
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)

    def forward(self, h: Tensor, context: Tensor | None = None) -> Tensor:
        h, context = h.clamp(-INPUT_LIMIT, INPUT_LIMIT), as_image(context)
        if self.mask is not None:
            h = torch.cat([h, self.mask.expand(h.shape[0], *self.mask.shape)], 1)
        h = self.first(channels_last(h))
        for block in self.blocks:
            h = block(h, context)
        out: Tensor = self.last(h)
        return out


class GatedFeatures(nn.Module):
    """A net from images ``(B, C, H, W)`` and a context ``(B, K)`` to a context ``(B, channels, H, W)``.

    A 3 x 3 convolution and three gated ones, as in the dequantisation of Flow++.

    >>> import torch
    >>> from pushforward.nets import GatedFeatures
    >>> GatedFeatures((1, 4, 4), channels=8)(torch.zeros(3, 1, 4, 4)).shape
    torch.Size([3, 8, 4, 4])
    """

    def __init__(self, event_shape: Shape, channels: int, context_channels: int = 0) -> None:
        super().__init__()
        size = (event_shape[1], event_shape[2])
        self.first = same_conv(event_shape[0], channels, size)
        self.blocks = nn.ModuleList(GatedConv(channels, size, context_channels, 0.0) for _ in range(3))

    def forward(self, h: Tensor, context: Tensor | None = None) -> Tensor:
        h = self.first(channels_last(h))
        for block in self.blocks:
            h = block(h, as_image(context))
        return h


def as_image(context: Tensor | None) -> Tensor | None:
    """A context ``(B, K)`` as an image of one pixel, which broadcasts; images keep their shape. Values are clamped like
    other inputs of nets."""
    if context is None:
        return None
    context = context.clamp(-INPUT_LIMIT, INPUT_LIMIT)
    return context[:, :, None, None] if context.ndim == 2 else context


def concat_elu(h: Tensor) -> Tensor:
    """``elu([h, -h])``, along the channels."""
    return F.elu(torch.cat([h, -h], 1))


def same_conv(inputs: int, outputs: int, size: Size) -> nn.Conv2d:
    """A 3 x 3 convolution that keeps the size of the image; along an axis of one pixel it has one weight, not three."""
    height, width = (min(3, 2 * pixels - 1) for pixels in size)
    return nn.Conv2d(inputs, outputs, (height, width), padding=(height // 2, width // 2))
