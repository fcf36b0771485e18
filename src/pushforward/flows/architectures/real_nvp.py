"""Real NVP, for vectors and, multi-scale, for images.

Source: Dinh, Sohl-Dickstein & Bengio, "Density estimation using Real NVP", 2017, and the authors' code.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

from pydantic import Field

from pushforward.bases import RealBase, build_base
from pushforward.events import Shape
from pushforward.flow import Flow
from pushforward.flows.data_layers import DataOptions, data_layers
from pushforward.flows.options import Architecture
from pushforward.flows.parts.scales import refuse_other_events, scale_count
from pushforward.flows.parts.vectors import (
    Linear,
    LogScaleOptions,
    PartitionName,
    affine_map,
    linear_layers,
    partitions,
    refuse_mixing,
)
from pushforward.maps import Affine
from pushforward.maps.affine import LOG_SCALES
from pushforward.nets import MLP, ResidualConvNet
from pushforward.objectives import MaximumLikelihood
from pushforward.transforms import ActNorm, BatchNorm, Channelwise, Checkerboard, Coupling, MultiScale, Squeeze
from pushforward.transforms.base import Chain, Inverse, Transform

_FOR_VECTORS = ("transforms", "hidden", "activation", "dropout", "partition", "linear")
_FOR_IMAGES = ("channels", "blocks", "scales", "net_norm")
Norm = Literal["batch", "lagged-batch", "activation", "none"]


class RealNVPOptions(LogScaleOptions, DataOptions):
    """Options of `real_nvp`; the first group is for vectors, the second for images, the third for both."""

    transforms: Annotated[int, Field(ge=1, description="vectors: affine couplings")] = 8
    hidden: Annotated[
        tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1, description="vectors: widths of a net")
    ] = (128, 128)
    activation: Annotated[
        Literal["relu", "tanh", "silu", "gelu", "elu"], Field(description="vectors: of the nets' hidden layers")
    ] = "relu"
    dropout: Annotated[float, Field(ge=0, lt=1, description="vectors: share of hidden units dropped in training")] = 0.0

    partition: Annotated[
        PartitionName,
        Field(description="vectors: which coordinates a coupling changes; the next one changes the others"),
    ] = "random"
    linear: Annotated[
        Linear,
        Field(description="vectors: between couplings, a learned matrix (lu, dense), or the order shuffled, reversed"),
    ] = "none"

    channels: Annotated[int, Field(ge=1, description="images: of the nets at the first scale; doubles with depth")] = 32
    blocks: Annotated[int, Field(ge=0, description="images: residual blocks in a net")] = 2
    scales: Annotated[
        int | None, Field(ge=1, le=16, description="images: scales; None halves while the sides are even and above 4")
    ] = None
    net_norm: Annotated[
        Literal["batch", "instance", "none"], Field(description="images: normalisation inside the nets")
    ] = "batch"

    norm: Annotated[Norm | None, Field(description="after each coupling; None: batch for images, none for vectors")] = (
        None
    )
    log_scale: Annotated[
        Literal["tanh", "sigmoid", "soft-clamp"], Field(description="what bounds the couplings' log-scales")
    ] = "tanh"
    penalty: Annotated[float, Field(ge=0, description="L2 on scale parameters, in nats a sample")] = 5e-5
    base: Annotated[RealBase, Field(description="the latent's distribution")] = "normal"


def build(event_shape: Shape, context_dim: int, options: RealNVPOptions) -> Flow:
    """Real NVP for events ``(D,)`` or ``(C, H, W)``."""
    layers = data_layers(event_shape, context_dim, options)
    refuse_other_events(event_shape, options, _FOR_VECTORS, _FOR_IMAGES)
    if len(event_shape) == 1:
        layers += _vector_couplings(event_shape, context_dim, options)
    else:
        layers.append(_multi_scale(event_shape, context_dim, options))
    chain = Chain(layers)
    objective = partial(MaximumLikelihood, l2=options.penalty)
    return Flow(build_base(options.base, chain.latent_shape, context_dim), chain, objective=objective)


def _after(changed_shape: Shape, norm: Norm) -> Transform | None:
    """The normalisation of what a coupling changed (Real NVP, section 3.7)."""
    if norm == "activation":
        return ActNorm(changed_shape)
    return None if norm == "none" else BatchNorm(changed_shape, lag=norm == "lagged-batch")


def _vector_couplings(event_shape: Shape, context_dim: int, options: RealNVPOptions) -> list[Transform]:
    steps: list[Transform] = []
    refuse_mixing(event_shape, options, ("partition", "linear"))
    taken = partitions(event_shape[0], options.partition)
    for i in range(options.transforms):
        if i:
            steps += linear_layers(event_shape, options.linear)
        partition = next(taken)
        map = affine_map(event_shape, options)
        kept, changed = partition.kept_shape[0], partition.changed_shape[0]
        net = MLP(kept, map.n_params * changed, options.hidden, context_dim, options.activation, options.dropout)
        steps.append(Coupling(partition, map, net, _after(partition.changed_shape, options.norm or "none")))
    return steps


def _multi_scale(event_shape: Shape, context_dim: int, options: RealNVPOptions) -> Transform:
    """Per scale three checkerboard couplings, squeeze, three channel-wise ones; four checkerboard ones at the last."""
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
        scales.append(Chain(steps))
        shape, channels = (2 * shape[0], shape[1] // 2, shape[2] // 2), 2 * channels
    scales.append(Chain([_coupling(Checkerboard(shape, i % 2), channels, context_dim, options) for i in range(4)]))
    return MultiScale(scales)


def _coupling(
    partition: Checkerboard | Channelwise, channels: int, context_dim: int, options: RealNVPOptions
) -> Coupling:
    map = Affine(LOG_SCALES[options.log_scale]())
    net = ResidualConvNet(
        in_channels=partition.kept_shape[0],
        out_channels=map.n_params * partition.changed_shape[0],
        channels=channels,
        blocks=options.blocks,
        norm=options.net_norm,
        context_dim=context_dim,
        mask=partition.mask if isinstance(partition, Checkerboard) else None,
    )
    return Coupling(partition, map, net, _after(partition.changed_shape, options.norm or "batch"))


ARCHITECTURE = Architecture(
    name="real_nvp",
    options=RealNVPOptions,
    build=build,
    summary="affine couplings; multi-scale with convolutional nets for images",
    when="For images, and for vectors when both density and sampling have to be one fast pass.",
    source="Dinh, Sohl-Dickstein & Bengio, 2017",
)
