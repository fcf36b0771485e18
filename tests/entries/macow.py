"""Masked convolutions."""

from __future__ import annotations

from entry import Entry, transform_entry
from pushforward.maps import Affine, SoftClampScale
from pushforward.nets import RowConvNet
from pushforward.transform import Shape
from pushforward.transforms import MaskedConv
from pushforward.transforms.masked_conv import Side


def masked_conv(event_shape: Shape, kernel: tuple[int, int], side: Side, context: int = 0) -> MaskedConv:
    map = Affine(SoftClampScale())
    net = RowConvNet(event_shape[0], map.n_params * event_shape[0], 4, kernel, context, "tanh")
    return MaskedConv(event_shape, map, net, side)


def entries() -> list[Entry]:
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
    ]
