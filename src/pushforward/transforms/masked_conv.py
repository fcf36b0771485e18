"""Masked convolutions: autoregressive over the rows (or the columns) of an image, all pixels of a row at once."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pushforward.errors import OptionError, ShapeError
from pushforward.events import Shape, sum_event
from pushforward.maps.map import Map
from pushforward.noise import NoiseValue
from pushforward.transforms.base import Transform

Side = Literal["top", "bottom", "left", "right"]


class MaskedConv(Transform):
    """``z_i = map(x_i; net(x_(i-k), ..., x_(i-1)))`` for the rows ``i`` of images ``(C, H, W)``.

    net: a `RowConvNet`, or any module with an attribute ``rows`` (the ``k``) that takes ``(before, context)``, with
    ``before: (B, C, k + n - 1, W)``, to ``(B, n_params * C, n, W)``: row ``i`` of what it gives depends on the rows
    ``i`` to ``i + k - 1`` of what it sees. side: where the order begins; ``left`` and ``right`` go over columns, with
    ``W`` and ``H`` exchanged for the net. Rows beyond the border count as 0.

    No parameter depends on its own row or on a later one: the Jacobian is triangular, row after row, and diagonal
    within a row. `to_latent` is one pass over the image. `to_data` goes over the rows, and the net computes each of
    them once: ``H`` (or ``W``) small steps that together cost one pass.

    Raises ShapeError for events that are no images, OptionError for a map that holds something of its own for each
    coordinate or for a net without ``rows``. Source: Ma, Kong, Zhang & Hovy, "MaCow: Masked convolutional generative
    flow", 2019, section 3.1; the four sides are its masks A to D.
    """

    def __init__(self, event_shape: Shape, map: Map, net: nn.Module, side: Side = "top") -> None:
        super().__init__()
        if len(event_shape) != 3:
            raise ShapeError(f"a masked convolution needs events (C, H, W), got {tuple(event_shape)}")
        if side not in get_args(Side):
            raise OptionError(f"side {side!r} is not known; expected one of {', '.join(get_args(Side))}")
        rows = getattr(net, "rows", None)
        if not isinstance(rows, int) or rows < 1:
            raise OptionError(
                f"the net of a masked convolution has an attribute rows, how many it sees before each; "
                f"{type(net).__name__} has not; use a RowConvNet"
            )
        map.refuse_shape("a MaskedConv")
        self.map, self.net, self.side, self.rows = map, net, side, rows
        self.data_shape = self.latent_shape = tuple(event_shape)
        self.domain, self.codomain = map.domain, map.codomain

    def extra_repr(self) -> str:
        return f"side={self.side}"

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        x = self._from_top(x)
        before = F.pad(x[:, :, :-1], (0, 0, self.rows, 0))
        z, log_slope = self.map(x, self._params(before, context))
        return self._from_side(z), sum_event(log_slope)

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        z = self._from_top(z)
        found, slopes = [torch.zeros_like(z[:, :, :1])] * self.rows, []
        for row in z.split(1, 2):
            params = self._params(torch.cat(found[-self.rows :], 2), context)
            x, log_slope = self.map.inverse(row, params)
            found.append(x)
            slopes.append(log_slope)
        return self._from_side(torch.cat(found[self.rows :], 2)), sum_event(torch.cat(slopes, 2))

    def _params(self, before: Tensor, context: Tensor | None) -> Tensor:
        raw = self.net(before, context).to(before.dtype)
        return self.map.with_start(raw.unflatten(1, (self.map.n_params, self.data_shape[0])).movedim(1, 0))

    def _from_top(self, x: Tensor) -> Tensor:
        """The image turned so that its order begins at the top."""
        if self.side in ("left", "right"):
            x = x.transpose(2, 3)
        return x.flip(2) if self.side in ("bottom", "right") else x

    def _from_side(self, x: Tensor) -> Tensor:
        """The way back from `_from_top`."""
        if self.side in ("bottom", "right"):
            x = x.flip(2)
        return x.transpose(2, 3) if self.side in ("left", "right") else x
