"""NICE: additive couplings and one diagonal scaling.

Source: Dinh, Krueger & Bengio, "NICE: Non-linear Independent Components Estimation", 2015.
"""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from pushforward.events import Shape
from pushforward.flows.data_layers import FlowOptions
from pushforward.flows.options import Architecture, Recipe, Steps
from pushforward.flows.parts.couplings import partitions
from pushforward.flows.parts.fields import Activation, BaseName, Dropout, Hidden, Transforms
from pushforward.flows.parts.maps import bendable
from pushforward.maps import Additive, Scale, SoftClampScale
from pushforward.maps.affine import DENSITY_LIMIT
from pushforward.nets import MLP
from pushforward.transforms import Coupling, Elementwise, Flatten, Transform


class NICEOptions(FlowOptions):
    """Options of `nice`. The published MNIST model: 4 couplings, 5 hidden layers of 1000, logistic base."""

    transforms: Annotated[Transforms, Field(description="additive couplings")] = 4
    hidden: Hidden = (256, 256, 256)
    activation: Activation = "relu"
    dropout: Dropout = 0.0
    base: BaseName = "logistic"


def steps(event_shape: Shape, context_dim: int, options: NICEOptions) -> Steps:
    """Additive couplings, of images as flat vectors; odd and even coordinates take turns (section 5.1)."""
    features = math.prod(event_shape)
    transforms: list[Transform] = [Flatten(event_shape)] if len(event_shape) != 1 else []
    turns = partitions(features, "odd-even")
    for _ in range(options.transforms):
        partition, map = next(turns), bendable(Additive(), (features,))
        net = MLP(*partition.net_sizes(map), options.hidden, context_dim, options.activation, options.dropout)
        transforms.append(Coupling(partition, map, net))
    transforms.append(Elementwise(Scale(SoftClampScale(limit=DENSITY_LIMIT)), (features,)))
    return Steps(transforms, options.base)


ARCHITECTURE = Architecture(
    name="nice",
    summary="additive couplings and one diagonal scaling, on vectors or flattened images",
    when="As the simplest baseline: it preserves volume up to one scale per coordinate, and learns fast but coarsely.",
    source="Dinh, Krueger & Bengio, 2015",
    vectors=Recipe(NICEOptions, steps),
    images=Recipe(NICEOptions, steps),
)
