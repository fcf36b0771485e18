"""A small architecture as a user writes it: the text of a Python file."""

SHEAR = '''
"""Shears: the first coordinate shifts the others, between learned matrices."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pushforward.flows import Architecture, FlowOptions, Recipe, Steps, register
from pushforward.maps import Additive
from pushforward.nets import MLP
from pushforward.transforms import Coupling, DenseLinear
from pushforward.transforms.partition import VectorPartition


class ShearOptions(FlowOptions):
    """Options of `shear`."""

    transforms: Annotated[int, Field(ge=1, description="shears")] = 2


def steps(event_shape, context_dim, options):
    transforms = []
    for _ in range(options.transforms):
        partition, map = VectorPartition(event_shape[0], range(1, event_shape[0])), Additive()
        net = MLP(*partition.net_sizes(map), (8,), context_dim)
        transforms += [DenseLinear(event_shape), Coupling(partition, map, net)]
    return Steps(transforms, options.base)


ARCHITECTURE = Architecture(
    "shear", "the first coordinate shifts the others", "To test.", "none", vectors=Recipe(ShearOptions, steps)
)
'''
