"""MaCow and its masked convolutions."""

from __future__ import annotations

from typing import Any

from entry import LABELS, Entry, flow_entry, transform_entry
from pushforward.events import Shape
from pushforward.maps import Affine, SoftClampScale
from pushforward.nets import RowConvNet
from pushforward.nets.row_conv import Side
from pushforward.transforms import Autoregressive


def masked_conv(event_shape: Shape, kernel: tuple[int, int], side: Side, context: int = 0) -> Autoregressive:
    map = Affine(SoftClampScale())
    return Autoregressive(map, RowConvNet(event_shape, map.n_params, 4, kernel, side, context, "tanh"))


def entries() -> list[Entry]:
    small: dict[str, Any] = {"transforms": 1, "channels": 4, "masked_channels": 4}
    return [
        transform_entry(
            "masked convolution", (1, 2, 2), lambda: masked_conv((1, 2, 2), (1, 3), "top"), smooth=True, golden=True
        ),
        transform_entry(
            "masked convolution, right, context",
            (1, 2, 3),
            lambda: masked_conv((1, 2, 3), (2, 3), "right", 2),
            context=(2,),
            golden=True,
        ),
        flow_entry("macow", "image 8 x 8, labels", (1, 8, 8), 0, LABELS, scales=2, **small),
        flow_entry("macow", "image 2 x 4 x 4, context", (2, 4, 4), 3, **small),
    ]
