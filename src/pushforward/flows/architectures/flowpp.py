"""Flow++: couplings of mixtures of logistics, with attention for images, and for vectors.

Source: Ho, Chen, Srinivas, Duan & Abbeel, "Flow++: Improving Flow-Based Generative Models with Variational
Dequantization and Architecture Design", 2019.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field

from pushforward.errors import ShapeError
from pushforward.events import Shape
from pushforward.flows.data_layers import FlowOptions
from pushforward.flows.options import Architecture, Recipe, Steps
from pushforward.flows.parts.couplings import CouplingOptions, couplings
from pushforward.flows.parts.fields import Dropout, LinearBefore
from pushforward.flows.parts.mixing import linear_layers
from pushforward.flows.parts.steps import alternating
from pushforward.maps import LogisticMixture
from pushforward.nets import GatedAttentionNet
from pushforward.transforms import ActNorm, Channelwise, Checkerboard, Coupling, Flatten, Squeeze, Transform

Components: TypeAlias = Annotated[int, Field(ge=1, description="logistic components of a map's mixture")]


class FlowPPVectorOptions(CouplingOptions):
    """Options of `flowpp` on vectors."""

    components: Components = 8


class FlowPPImageOptions(FlowOptions):
    """Options of `flowpp` on images. On CIFAR-10, as published: 32 components, 96 channels, 10 blocks, 4 heads, dropout
    0.2."""

    linear: LinearBefore = "lu"
    dropout: Dropout = 0.0
    components: Components = 8
    channels: Annotated[int, Field(ge=2, description="channels of the nets")] = 32
    blocks: Annotated[int, Field(ge=1, description="gated convolutions with attention in a net")] = 2
    # One head of 32 channels is no narrower than each of the published four, and takes a quarter of the time of four.
    heads: Annotated[int, Field(ge=1, description="attention heads; a divisor of channels")] = 1


def vector_steps(event_shape: Shape, context_dim: int, options: FlowPPVectorOptions) -> Steps:
    """Couplings of mixtures of logistics."""
    step = couplings(event_shape, context_dim, options, lambda: LogisticMixture(options.components))
    return alternating(event_shape, options, step)


def image_steps(event_shape: Shape, context_dim: int, options: FlowPPImageOptions) -> Steps:
    """Four checkerboard couplings, squeeze, two channel-wise ones and three checkerboard ones; nothing is factored out.

    As the paper's CIFAR-10 model. A squeezed image of a single pixel has no checkerboard: the last three are left out.
    """
    if event_shape[1] % 2 or event_shape[2] % 2:
        raise ShapeError(
            f"flowpp squeezes images, which needs an even height and width, got {event_shape[1]} x {event_shape[2]}; "
            "resize or crop the images, or use real_nvp"
        )
    squeeze = Squeeze(event_shape)
    shape = squeeze.latent_shape
    partitions: list[Checkerboard | Channelwise] = [Checkerboard(event_shape, i % 2) for i in range(4)]
    partitions += [Channelwise(shape, keep_first=i % 2 == 0) for i in range(2)]
    partitions += [Checkerboard(shape, i % 2) for i in range(3) if shape[1:] != (1, 1)]
    layers: list[Transform] = []
    for i, partition in enumerate(partitions):
        if i == 4:
            layers.append(squeeze)
        layers += [ActNorm(partition.event_shape), *linear_layers(partition.event_shape, options.linear)]
        layers.append(_coupling(partition, context_dim, options))
    return Steps([*layers, Flatten(shape)], options.base)


def _coupling(partition: Checkerboard | Channelwise, context_dim: int, options: FlowPPImageOptions) -> Coupling:
    map = LogisticMixture(options.components)
    net = GatedAttentionNet(
        *partition.net_sizes(map),
        size=(partition.event_shape[1], partition.event_shape[2]),
        channels=options.channels,
        blocks=options.blocks,
        heads=options.heads,
        dropout=options.dropout,
        context_channels=context_dim,
        mask=partition.mask if isinstance(partition, Checkerboard) else None,
    )
    return Coupling(partition, map, net)


ARCHITECTURE = Architecture(
    name="flowpp",
    summary="couplings of mixtures of logistics; for images with attention between pixels",
    when="For small images when density matters more than speed: sampling needs a numeric root per coordinate.",
    source="Ho, Chen, Srinivas, Duan & Abbeel, 2019",
    vectors=Recipe(FlowPPVectorOptions, vector_steps),
    images=Recipe(FlowPPImageOptions, image_steps),
)
