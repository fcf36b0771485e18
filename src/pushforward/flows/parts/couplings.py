"""Couplings on vectors: their options, partitions and nets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated

from pydantic import Field

from pushforward.events import Shape
from pushforward.flows.parts.fields import Dropout, Partition, PartitionName, Transforms
from pushforward.flows.parts.mixing import refuse_mixing
from pushforward.flows.parts.steps import MakeStep, NetOptions
from pushforward.maps import Map
from pushforward.nets import MLP
from pushforward.transforms import Coupling, Transform
from pushforward.transforms.partition import VectorPartition, half, odd_even, random_half


class CouplingOptions(NetOptions):
    """Options of a flow on vectors that consists of couplings."""

    transforms: Annotated[Transforms, Field(description="couplings, each changing about half of the coordinates")] = 8
    partition: Partition = "random"
    dropout: Dropout = 0.0


def couplings(event_shape: Shape, context_dim: int, options: CouplingOptions, make_map: Callable[[], Map]) -> MakeStep:
    """Steps that are couplings, each conditioned by a residual MLP on the coordinates that it keeps."""
    refuse_mixing(event_shape, options, ("partition",))
    turns = partitions(event_shape[0], options.partition)

    def step(i: int) -> Transform:
        partition, map = next(turns), make_map()
        net = MLP(
            *partition.net_sizes(map), options.hidden, context_dim, options.activation, options.dropout, residual=True
        )
        return Coupling(partition, map, net)

    return step


def partitions(features: int, kind: PartitionName) -> Iterator[VectorPartition]:
    """Partitions, one per coupling: every second one is the complement of the one before, so that all coordinates
    change.

    With fixed halves a coordinate is never conditioned on one of its own half; a new random half each time mixes all.
    A single coordinate is changed each time.
    """
    make = {"random": random_half, "half": half, "odd-even": odd_even}[kind]
    partition = make(features)
    while True:
        yield partition
        if features == 1:
            continue
        other = partition.complement()
        yield other
        # Changing the same coordinates twice in a row would waste a coupling; with two features it would be likely.
        while kind == "random" and (partition := make(features)).indices == other.indices:
            pass
