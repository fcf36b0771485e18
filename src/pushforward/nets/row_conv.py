"""The small net of masked convolutions: each row of an image from a few rows before it."""

from __future__ import annotations

from torch import Tensor, nn

from pushforward.errors import OptionError
from pushforward.nets.act_norm_conv import tame
from pushforward.nets.conv import shifted, tame_context
from pushforward.nets.mlp import ACTIVATIONS, check_hidden
from pushforward.precision import full_precision


class RowConvNet(nn.Module):
    """Rows ``(B, in_channels, rows + n - 1, W)`` to ``(B, out_channels, n, W)``; gives 0 at the start.

    Output row ``i`` is computed from the input rows ``i`` to ``i + rows - 1``: an ordinary convolution with a kernel
    ``(rows, width)``, padded at the left and right ends of rows only, then two 1 x 1 convolutions, of which the last
    starts at zero. The context is added to what the first of the two gives. kernel: ``(rows, width)``, the width odd.
    Source: Ma, Kong, Zhang & Hovy, "MaCow: Masked convolutional generative flow", 2019, section 3.1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        channels: int = 32,
        kernel: tuple[int, int] = (2, 5),
        context_dim: int = 0,
        activation: str = "elu",
    ) -> None:
        super().__init__()
        check_hidden((channels,), activation)
        self.rows, width = kernel
        if self.rows < 1 or width < 1 or width % 2 == 0:
            raise OptionError(f"a kernel of one or more rows and an odd width expected, got {tuple(kernel)}")
        self.first = nn.Conv2d(in_channels, channels, (self.rows, width), padding=(0, width // 2))
        self.second = nn.Conv2d(channels, channels, 1)
        self.context = nn.Linear(context_dim, channels) if context_dim else None
        self.last = nn.Conv2d(channels, out_channels, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]
        self.activation = ACTIVATIONS[activation]()

    def forward(self, before: Tensor, context: Tensor | None = None) -> Tensor:
        # A row computed alone and among others must be the same, or the way back does not lead to the start.
        with full_precision(before):
            h = self.first(tame(before.to(self.last.weight.dtype)))
            h = shifted(self.second(self.activation(h)), self.context, tame_context(context))
            out: Tensor = self.last(self.activation(h))
        return out
