"""Masked convolutions: nets that compute the parameters of each row of an image from a few rows before it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pushforward.coordinate_blocks import CoordinateBlocks
from pushforward.errors import OptionError, ShapeError
from pushforward.events import Shape
from pushforward.nets.act_norm_conv import tame
from pushforward.nets.conv import shifted, tame_context
from pushforward.nets.mlp import ACTIVATIONS, check_hidden
from pushforward.nets.staged import StagedNet, Stages
from pushforward.precision import full_precision

Side = Literal["top", "bottom", "left", "right"]


class RowConvNet(StagedNet):
    """A masked convolution: images ``(B, C, H, W)`` to parameters ``(n_params, B, C, H, W)``; returns 0 at the start.

    The parameters of row ``i`` are computed from the ``rows`` rows before it: an ordinary convolution with a kernel
    ``(rows, width)``, padded at the left and right ends of rows only, then two 1 x 1 convolutions, of which the last
    starts at zero. Rows beyond the border count as 0. The context is added to the output of the first of the two. A
    stage is a row: the net computes each once, in ``H`` small steps that together cost one pass.

    kernel: ``(rows, width)``, the width odd. side: where the order begins; ``left`` and ``right`` are orders of
    columns, with ``W`` and ``H`` exchanged. Raises ShapeError for events that are not images, and OptionError.

    Source: Ma, Kong, Zhang & Hovy, "MaCow: Masked convolutional generative flow", 2019, section 3.1; the four sides are
    its masks A to D.

    >>> import torch
    >>> from pushforward.nets import RowConvNet
    >>> RowConvNet((1, 4, 4), n_params=2, channels=4)(torch.zeros(3, 1, 4, 4)).shape
    torch.Size([2, 3, 1, 4, 4])
    """

    def __init__(
        self,
        event_shape: Shape,
        n_params: int,
        channels: int = 32,
        kernel: tuple[int, int] = (2, 5),
        side: Side = "top",
        context_dim: int = 0,
        activation: str = "elu",
    ) -> None:
        super().__init__()
        if len(event_shape) != 3:
            raise ShapeError(f"a masked convolution needs events (C, H, W), got {tuple(event_shape)}")
        if side not in get_args(Side):
            raise OptionError(f"side {side!r} is not known; expected one of {', '.join(get_args(Side))}")
        check_hidden((channels,), activation)
        self.rows, width = kernel
        if self.rows < 1 or width < 1 or width % 2 == 0:
            raise OptionError(f"a kernel of one or more rows and an odd width expected, got {tuple(kernel)}")
        self.event_shape, self.n_params, self.side = tuple(event_shape), n_params, side
        places = self._from_top(torch.arange(math.prod(event_shape)).reshape(event_shape))
        stages = [row.flatten().tolist() for row in places.unbind(1)]
        self.order = CoordinateBlocks([len(stage) for stage in stages], stages)
        self.row_shape = (event_shape[0], 1, places.shape[2])
        self.first = nn.Conv2d(event_shape[0], channels, (self.rows, width), padding=(0, width // 2))
        self.second = nn.Conv2d(channels, channels, 1)
        self.context = nn.Linear(context_dim, channels) if context_dim else None
        self.last = nn.Conv2d(channels, n_params * event_shape[0], 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]
        self.activation = ACTIVATIONS[activation]()

    def extra_repr(self) -> str:
        return f"side={self.side}"

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        before = F.pad(self._from_top(x)[:, :, :-1], (0, 0, self.rows, 0))
        return self._to_side(self._rows(before, context))

    def stages(self, like: Tensor, context: Tensor | None = None) -> Stages[Tensor]:
        border = like.new_zeros(len(like), *self.row_shape)

        def params(known: Sequence[Tensor]) -> Tensor:
            rows = [row.reshape(-1, *self.row_shape) for row in known[-self.rows :]]
            before = [border] * (self.rows - len(rows)) + rows
            return self._rows(torch.cat(before, 2), context).flatten(2)

        return params

    def _rows(self, before: Tensor, context: Tensor | None) -> Tensor:
        """Parameters ``(P, B, C, n, W)`` of ``n`` rows from ``before: (B, C, rows + n - 1, W)``."""
        # A row must have the same value alone and among others, or the inverse is wrong.
        with full_precision(before):
            h = self.first(tame(before.to(self.last.weight.dtype)))
            h = shifted(self.second(self.activation(h)), self.context, tame_context(context))
            out = self.last(self.activation(h)).unflatten(1, (self.n_params, self.event_shape[0]))
        params: Tensor = out.movedim(1, 0)
        return params

    def _from_top(self, x: Tensor) -> Tensor:
        """Images ``(..., H, W)`` flipped or transposed so that their order begins at the top."""
        if self.side in ("left", "right"):
            x = x.transpose(-2, -1)
        return x.flip(-2) if self.side in ("bottom", "right") else x

    def _to_side(self, x: Tensor) -> Tensor:
        """The inverse of `_from_top`."""
        if self.side in ("bottom", "right"):
            x = x.flip(-2)
        return x.transpose(-2, -1) if self.side in ("left", "right") else x
