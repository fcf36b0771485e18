"""Flow++: couplings of mixtures of logistics, for images with attention in their nets, and for vectors.

Source: Ho, Chen, Srinivas, Duan & Abbeel, "Flow++: Improving Flow-Based Generative Models with Variational
Dequantization and Architecture Design", 2019.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pushforward.bases import build_base
from pushforward.errors import ShapeError
from pushforward.events import Shape
from pushforward.flow import Flow
from pushforward.flows.data_layers import data_layers
from pushforward.flows.options import Architecture
from pushforward.flows.parts.scales import refuse_other_events
from pushforward.flows.parts.vectors import CouplingOptions, couplings, linear_layers, vector_flow
from pushforward.maps import LogisticMixture
from pushforward.nets import GatedAttentionNet
from pushforward.transforms import ActNorm, Channelwise, Checkerboard, Coupling, Flatten, Squeeze
from pushforward.transforms.base import Chain, Transform

_FOR_VECTORS = ("transforms", "hidden", "activation", "partition")
_FOR_IMAGES = ("channels", "blocks", "heads")


class FlowPPOptions(CouplingOptions):
    """Options of `flowpp`. On CIFAR-10, as published: 32 components, 96 channels, 10 blocks, 4 heads, dropout 0.2."""

    components: Annotated[int, Field(ge=1, description="logistics of a map's mixture")] = 8
    channels: Annotated[int, Field(ge=2, description="images: of the nets")] = 32
    blocks: Annotated[int, Field(ge=1, description="images: gated convolutions with attention in a net")] = 2
    # One head of 32 channels is no narrower than each of the published four, and takes a quarter of the time of four.
    heads: Annotated[int, Field(ge=1, description="images: of the attention; divides channels")] = 1


def build(event_shape: Shape, context_dim: int, options: FlowPPOptions) -> Flow:
    """Flow++ for events ``(D,)`` or ``(C, H, W)``."""
    refuse_other_events(event_shape, options, _FOR_VECTORS, _FOR_IMAGES)
    if len(event_shape) == 1:
        step = couplings(event_shape, context_dim, lambda: LogisticMixture(options.components), options)
        return vector_flow(event_shape, context_dim, options, step)
    layers = data_layers(event_shape, context_dim, options)
    layers += _image_layers(event_shape, context_dim, options)
    chain = Chain(layers)
    return Flow(build_base(options.base, chain.latent_shape, context_dim), chain)


def _image_layers(event_shape: Shape, context_dim: int, options: FlowPPOptions) -> list[Transform]:
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
    return [*layers, Flatten(shape)]


def _coupling(partition: Checkerboard | Channelwise, context_dim: int, options: FlowPPOptions) -> Coupling:
    map = LogisticMixture(options.components)
    net = GatedAttentionNet(
        in_channels=partition.kept_shape[0],
        out_channels=map.n_params * partition.changed_shape[0],
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
    options=FlowPPOptions,
    build=build,
    summary="couplings of mixtures of logistics; for images with attention between pixels in their nets",
    when="For small images when density counts more than speed: samples need a numeric root a coordinate.",
    source="Ho, Chen, Srinivas, Duan & Abbeel, 2019",
)
