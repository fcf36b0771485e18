"""NICE: additive couplings and one diagonal scaling.

Source: Dinh, Krueger & Bengio, "NICE: Non-linear Independent Components Estimation", 2015.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from pushforward.bases import RealBase, build_base
from pushforward.events import Shape
from pushforward.flow import Flow
from pushforward.flows.data_layers import DataOptions, data_layers
from pushforward.flows.options import Architecture
from pushforward.flows.parts.vectors import bendable, partitions
from pushforward.maps import Additive, Scale, SoftClampScale
from pushforward.nets import MLP
from pushforward.transforms import Coupling, Elementwise, Flatten
from pushforward.transforms.base import Chain, Transform


class NICEOptions(DataOptions):
    """Options of `nice`. The published MNIST model: 4 couplings, 5 hidden layers of 1000, logistic base."""

    transforms: Annotated[int, Field(ge=1, description="additive couplings")] = 4
    hidden: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1, description="widths of a net")] = (
        256,
        256,
        256,
    )
    activation: Annotated[
        Literal["relu", "tanh", "silu", "gelu", "elu"], Field(description="of the nets' hidden layers")
    ] = "relu"
    dropout: Annotated[float, Field(ge=0, lt=1, description="share of hidden units dropped in training")] = 0.0
    base: Annotated[RealBase, Field(description="the latent's distribution")] = "logistic"


def build(event_shape: Shape, context_dim: int, options: NICEOptions) -> Flow:
    """NICE on vectors, or on images as flat vectors; odd and even coordinates take turns (section 5.1)."""
    layers: list[Transform] = data_layers(event_shape, context_dim, options)
    features = math.prod(event_shape)
    if len(event_shape) != 1:
        layers.append(Flatten(event_shape))
    taken = partitions(features, "odd-even")
    for _ in range(options.transforms):
        partition, map = next(taken), bendable(Additive(), (features,))
        kept, changed = partition.kept_shape[0], partition.changed_shape[0]
        net = MLP(kept, map.n_params * changed, options.hidden, context_dim, options.activation, options.dropout)
        layers.append(Coupling(partition, map, net))
    layers.append(Elementwise(Scale(SoftClampScale(limit=10.0)), (features,)))
    return Flow(build_base(options.base, (features,), context_dim), Chain(layers))


ARCHITECTURE = Architecture(
    name="nice",
    options=NICEOptions,
    build=build,
    summary="additive couplings and one diagonal scaling, on vectors or flattened images",
    when="As the simplest baseline: volume-preserving but for one scale a coordinate, it learns fast but coarsely.",
    source="Dinh, Krueger & Bengio, 2015",
)
