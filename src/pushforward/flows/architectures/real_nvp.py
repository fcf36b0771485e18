"""Real NVP, for vectors and, multi-scale, for images.

Source: Dinh, Sohl-Dickstein & Bengio, "Density estimation using Real NVP", 2017, and the authors' code.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from pushforward.events import Shape
from pushforward.flows.data_layers import FlowOptions
from pushforward.flows.options import Architecture, Recipe, Steps, refuse_unused
from pushforward.flows.parts.couplings import partitions
from pushforward.flows.parts.fields import (
    Activation,
    Blocks,
    Channels,
    Dropout,
    Hidden,
    Linear,
    LogScale,
    MemorySaving,
    NetNorm,
    Partition,
    Scales,
    Transforms,
)
from pushforward.flows.parts.maps import affine_map
from pushforward.flows.parts.mixing import linear_layers, refuse_mixing
from pushforward.flows.parts.scales import scale_count
from pushforward.maps import Affine, ShiftedScale, TanhScale
from pushforward.maps.affine import LOG_SCALES
from pushforward.nets import MLP, ResidualConvNet
from pushforward.objectives import MaximumLikelihood
from pushforward.transforms import (
    ActivationCheckpoints,
    ActNorm,
    BatchNorm,
    Channelwise,
    Checkerboard,
    Coupling,
    MultiScale,
    Squeeze,
)
from pushforward.transforms.base import Chain, Inverse, Transform

Norm: TypeAlias = Literal["batch", "lagged-batch", "activation", "none"]


class RealNVPOptions(FlowOptions):
    """Options of `real_nvp` on both kinds of events."""

    log_scale: LogScale = "tanh"
    penalty: Annotated[
        float, Field(ge=0, description="weight of the L2 penalty on scale parameters, in nats per sample")
    ] = 5e-5


class RealNVPVectorOptions(RealNVPOptions):
    """Options of `real_nvp` on vectors."""

    transforms: Annotated[Transforms, Field(description="affine couplings")] = 8
    hidden: Hidden = (128, 128)
    activation: Activation = "relu"
    dropout: Dropout = 0.0
    partition: Partition = "random"
    linear: Annotated[
        Linear,
        Field(
            description="layer between couplings: learned matrix (lu, dense), or the order shuffled, reversed, or kept"
        ),
    ] = "none"
    norm: Annotated[Norm | None, Field(description="normalisation after each coupling; None: none")] = None


class RealNVPImageOptions(RealNVPOptions):
    """Options of `real_nvp` on images."""

    channels: Annotated[
        Channels, Field(description="channels of the nets at the first scale, doubled at each further one")
    ] = 32
    blocks: Blocks = 2
    scales: Annotated[
        Scales, Field(description="number of scales; None: halve the sides while they are even and above 4")
    ] = None
    net_norm: NetNorm = "batch"
    norm: Annotated[Norm | None, Field(description="normalisation after each coupling; None: batch")] = None
    memory_saving: MemorySaving = False
    published: Annotated[
        bool, Field(description="nets, batch normalisation and starting values of the authors' released code")
    ] = False


def vector_steps(event_shape: Shape, context_dim: int, options: RealNVPVectorOptions) -> Steps:
    """Affine couplings."""
    refuse_mixing(event_shape, options, ("partition", "linear"))
    transforms: list[Transform] = []
    turns = partitions(event_shape[0], options.partition)
    for i in range(options.transforms):
        if i:
            transforms += linear_layers(event_shape, options.linear)
        partition = next(turns)
        map = affine_map(event_shape, options, options.log_scale)
        net = MLP(*partition.net_sizes(map), options.hidden, context_dim, options.activation, options.dropout)
        transforms.append(Coupling(partition, map, net, _after(partition.changed_shape, options.norm or "none")))
    return Steps(transforms, options.base, partial(MaximumLikelihood, l2=options.penalty))


def image_steps(event_shape: Shape, context_dim: int, options: RealNVPImageOptions) -> Steps:
    """Per scale three checkerboard couplings, squeeze, three channel-wise ones; four checkerboard ones at the last."""
    if options.published:
        refuse_unused(options, ("log_scale", "net_norm", "norm"), "published=True sets it")
    join = ActivationCheckpoints if options.memory_saving else Chain
    scales: list[Transform] = []
    shape, channels = event_shape, options.channels
    count = scale_count(event_shape, options.scales, squeezed=False)
    for _ in range(count - 1):
        # Three couplings before the squeeze, three after it, on the same pixels as four times as many channels.
        squeeze = Squeeze(shape)
        steps: list[Transform] = [
            _coupling(Checkerboard(shape, i % 2), channels, context_dim, options) for i in range(3)
        ]
        steps.append(squeeze)
        for i in range(3):
            partition = Channelwise(squeeze.latent_shape, keep_first=i % 2 == 0)
            steps.append(_coupling(partition, 2 * channels, context_dim, options))
        steps += [Inverse(squeeze), Squeeze(shape, ordered=True)]
        scales.append(join(steps))
        shape, channels = (2 * shape[0], shape[1] // 2, shape[2] // 2), 2 * channels
    scales.append(join([_coupling(Checkerboard(shape, i % 2), channels, context_dim, options) for i in range(4)]))
    return Steps([MultiScale(scales)], options.base, partial(MaximumLikelihood, l2=options.penalty))


def _after(changed_shape: Shape, norm: Norm) -> Transform | None:
    """The normalisation of the part that a coupling changed (Real NVP, section 3.7)."""
    if norm == "activation":
        return ActNorm(changed_shape)
    return None if norm == "none" else BatchNorm(changed_shape, lag=norm == "lagged-batch")


def _coupling(
    partition: Checkerboard | Channelwise, channels: int, context_dim: int, options: RealNVPImageOptions
) -> Coupling:
    mask = partition.mask if isinstance(partition, Checkerboard) else None
    map = _published_map(mask is not None) if options.published else Affine(LOG_SCALES[options.log_scale]())
    net = ResidualConvNet(
        *partition.net_sizes(map),
        channels=channels,
        blocks=options.blocks,
        norm=options.net_norm,
        context_dim=context_dim,
        mask=mask,
        published=options.published,
    )
    if not options.published:
        return Coupling(partition, map, net, _after(partition.changed_shape, options.norm or "batch"))
    # The authors' moments are of whole images with the kept pixels at 0.
    zeros = math.prod(partition.event_shape[1:]) - math.prod(partition.changed_shape[1:])
    return Coupling(partition, map, net, BatchNorm(partition.changed_shape, zeros=zeros, from_data=False))


def _published_map(masked: bool) -> ShiftedScale:
    """The map of the authors' code: the scale of tanh starts at 0 at checkerboards; elsewhere at 1, without penalty."""
    return ShiftedScale(TanhScale(rescale=0.0) if masked else TanhScale(penalised=False))


ARCHITECTURE = Architecture(
    name="real_nvp",
    summary="affine couplings; multi-scale with convolutional nets for images",
    when="For images, and for vectors when density and sampling must each take one fast pass.",
    source="Dinh, Sohl-Dickstein & Bengio, 2017",
    vectors=Recipe(RealNVPVectorOptions, vector_steps),
    images=Recipe(RealNVPImageOptions, image_steps),
)
