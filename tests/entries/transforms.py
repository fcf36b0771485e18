"""Couplings, normalisations, permutations, pre-processing, and ways of putting transforms together."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributions import Beta

from entry import Entry, transform_entry
from pushforward.bases import UniformBox
from pushforward.maps import Additive, Affine, Map, SigmoidScale, SoftClampScale, TanhScale
from pushforward.nets import MLP, ResidualConvNet
from pushforward.transforms import (
    ActNorm,
    BatchNorm,
    Channelwise,
    Checkerboard,
    Coupling,
    Dequantise,
    Elementwise,
    Flatten,
    Identity,
    Logit,
    MultiScale,
    Partition,
    Permutation,
    Squeeze,
    Standardise,
)
from pushforward.transforms.base import Chain, Inverse, Transform
from pushforward.transforms.partition import half, odd_even, random_half
from pushforward.transforms.permutation import random_permutation, reverse


def partition_net(partition: Partition, map: Map, context: int = 0) -> nn.Module:
    """A small net that fits: an MLP for vectors, the residual conv net for images."""
    if len(partition.event_shape) == 1:
        return MLP(*partition.net_sizes(map), (12, 12), context, activation="tanh")
    mask = partition.mask if isinstance(partition, Checkerboard) else None
    return ResidualConvNet(*partition.net_sizes(map), 4, 1, "none", context, mask)


def coupling(
    partition: Partition, map: Map | None = None, after: Transform | None = None, context: int = 0
) -> Coupling:
    map = Affine(TanhScale()) if map is None else map
    return Coupling(partition, map, partition_net(partition, map, context), after)


def _vector_chain(features: int) -> Chain:
    first, second = half(features), half(features).complement()
    return Chain(
        [
            Standardise((features,)),
            coupling(first),
            reverse((features,)),
            coupling(second, Affine(SoftClampScale())),
            ActNorm((features,)),
        ]
    )


def _multi_scale() -> MultiScale:
    shape = (1, 4, 4)
    first = Chain([coupling(Checkerboard(shape)), Squeeze(shape, ordered=True)])
    return MultiScale([first, coupling(Channelwise((2, 2, 2)))])


class ContextNet(nn.Module):
    """What `Elementwise` calls: parameters from the context alone."""

    def __init__(self, context: int, outputs: int) -> None:
        super().__init__()
        self.net = MLP(0, outputs, (8,), context, activation="tanh")

    def forward(self, context: Tensor) -> Tensor:
        out: Tensor = self.net(context[:, :0], context)
        return out


def entries() -> list[Entry]:
    seeded = torch.Generator().manual_seed
    image, unit = (2, 2, 2), {"base": lambda dtype, shape: UniformBox(shape)}
    beta = {"base": lambda dtype, shape: Beta(torch.full(shape, 2.0, dtype=dtype), torch.full(shape, 3.0, dtype=dtype))}
    partitions: dict[str, Callable[[], Partition]] = {
        "half": lambda: half(3),
        "odd/even": lambda: odd_even(3),
        "random half": lambda: random_half(4, seeded(3)),
        "checkerboard": lambda: Checkerboard(image),
        "channel-wise": lambda: Channelwise(image),
    }
    found = []
    for name, make in partitions.items():
        shape = make().event_shape
        golden = name == "half"
        found.append(
            transform_entry(f"coupling, {name}", shape, lambda make=make: coupling(make()), smooth=True, golden=golden)
        )
        complement = lambda make=make: coupling(make().complement())  # noqa: E731
        found.append(transform_entry(f"coupling, {name}, complement", shape, complement, smooth=True))
    return [
        *found,
        transform_entry("coupling, after batch norm", (3,), lambda: coupling(half(3), after=BatchNorm((2,)))),
        transform_entry(
            "coupling, after activation norm", image, lambda: coupling(Checkerboard(image), after=ActNorm((2, 2)))
        ),
        transform_entry("coupling, additive", (4,), lambda: coupling(half(4), Additive())),
        transform_entry("coupling, context", (3,), lambda: coupling(half(3), context=2), context=(2,)),
        transform_entry("elementwise, image", image, lambda: Elementwise(Affine(SigmoidScale()), image)),
        transform_entry(
            "elementwise, context",
            (3,),
            lambda: Elementwise(Affine(TanhScale()), (3,), ContextNet(2, 6)),
            context=(2,),
        ),
        transform_entry("permutation, reverse", (4,), lambda: reverse((4,))),
        transform_entry("permutation, random", image, lambda: random_permutation(image, seeded(1))),
        transform_entry("permutation, given", (3,), lambda: Permutation((3,), (2, 0, 1))),
        transform_entry("batch norm", (3,), lambda: BatchNorm((3,)), golden=True),
        transform_entry("batch norm, image, plain average", image, lambda: BatchNorm(image, momentum=None)),
        transform_entry("batch norm, with zeros", image, lambda: BatchNorm(image, zeros=3, from_data=False)),
        transform_entry("batch norm, lagged", (1,), lambda: BatchNorm((1,), lag=True)),
        transform_entry("activation norm", (3,), lambda: ActNorm((3,)), smooth=True),
        transform_entry("activation norm, image", image, lambda: ActNorm(image)),
        transform_entry("standardise", (2,), lambda: Standardise((2,)), smooth=True),
        transform_entry("standardise, image", image, lambda: Standardise(image)),
        transform_entry("squeeze", (2, 2, 2), lambda: Squeeze((2, 2, 2)), golden=True),
        transform_entry("squeeze, ordered", (3, 4, 6), lambda: Squeeze((3, 4, 6), ordered=True), golden=True),
        transform_entry("multi-scale", (1, 4, 4), _multi_scale),
        transform_entry("multi-scale, one scale", (1, 2, 2), lambda: MultiScale([coupling(Checkerboard((1, 2, 2)))])),
        transform_entry("dequantise", (2,), lambda: Dequantise((2,), 4), **beta, golden=True),
        transform_entry("dequantise, image", (1, 4, 4), lambda: Dequantise((1, 4, 4), 256), **unit),
        transform_entry("dequantise, logit", (2,), lambda: Chain([Dequantise((2,), 5), Logit((2,))]), golden=True),
        transform_entry("logit", (2,), lambda: Logit((2,)), smooth=True, golden=True),
        transform_entry("logit, alpha 0", (1,), lambda: Logit((1,), 0.0), smooth=True, golden=True),
        transform_entry("flatten", (1, 2, 2), lambda: Flatten((1, 2, 2))),
        transform_entry("identity", (), lambda: Identity(())),
        transform_entry("chain", (4,), lambda: _vector_chain(4)),
        transform_entry("inverse of a coupling", (3,), lambda: Inverse(coupling(half(3)))),
        transform_entry("inverse of a chain", (4,), lambda: Inverse(_vector_chain(4))),
        transform_entry(
            "inverse of a logit",
            (2,),
            lambda: Inverse(Logit((2,))),
            base=lambda dtype, shape: UniformBox(shape, Logit((2,)).domain.low, Logit((2,)).domain.high),
        ),
    ]
