"""Residual blocks ``x + g(x)`` with normalisations between, of i-ResNets and residual flows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from pushforward.events import Shape
from pushforward.flows.data_layers import FlowOptions
from pushforward.flows.options import Steps, refuse_unused
from pushforward.flows.parts.estimates import exact_by_default
from pushforward.flows.parts.fields import Channels, Hidden, Scales, Transforms
from pushforward.flows.parts.scales import squeezed_scales
from pushforward.nets import ContractiveNet, contractive_conv_net, contractive_mlp
from pushforward.nets.lipschitz import ContractiveActivation
from pushforward.transforms import ActNorm, ExactLogDet, LogDet, Residual, RouletteLogDet, Transform, TruncatedLogDet

LogDetName: TypeAlias = Literal["auto", "exact", "truncated", "roulette"]
# The series that estimates log-determinants where the events are large.
Series: TypeAlias = Literal["truncated", "roulette"]
BlockActivation: TypeAlias = Annotated[
    ContractiveActivation, Field(description="activation of the nets: lipswish, which is smooth, or elu")
]
Coefficient: TypeAlias = Annotated[
    float, Field(gt=0, lt=1, description="upper limit of each layer's norm; below 1 blocks are invertible")
]


class BlockOptions(FlowOptions):
    """Options of a flow of residual blocks."""

    transforms: Annotated[Transforms, Field(description="residual blocks")] = 8
    activation: BlockActivation = "lipswish"
    coefficient: Coefficient = 0.9
    iterations: Annotated[int, Field(ge=1, description="power iterations per training step for a layer's norm")] = 5
    log_det: Annotated[
        LogDetName,
        Field(description="log-determinants: exact, a truncated series, a series ended by roulette, or auto by size"),
    ] = "auto"
    terms: Annotated[int, Field(ge=1, description="number of terms of a truncated series")] = 5
    exact_terms: Annotated[
        int,
        Field(ge=0, description="terms of a series before the roulette, in training; 20 in evaluation"),
    ] = 2


class BlockVectorOptions(BlockOptions):
    """Options of a flow of residual blocks on vectors."""

    hidden: Annotated[Hidden, Field(description="widths of a block's net")] = (128, 128)


class BlockImageOptions(BlockOptions):
    """Options of a flow of residual blocks on images."""

    transforms: Annotated[Transforms, Field(description="residual blocks of every scale")] = 8
    channels: Channels = 64
    scales: Scales = None


def vector_blocks(event_shape: Shape, context_dim: int, options: BlockVectorOptions, series: Series) -> Steps:
    """Blocks with a normalisation before each, and one at the end."""

    def net(shape: Shape) -> ContractiveNet:
        shared = context_dim, options.activation, options.coefficient, options.iterations
        return contractive_mlp(shape[0], options.hidden, *shared)

    blocks = _blocks(event_shape, options, net, _log_det(event_shape, options, series))
    return Steps([*blocks, ActNorm(event_shape)], options.base)


def image_blocks(event_shape: Shape, context_dim: int, options: BlockImageOptions, series: Series) -> Steps:
    """Blocks with a normalisation before each, in squeezed scales."""
    log_det = _log_det(event_shape, options, series)

    def net(shape: Shape) -> ContractiveNet:
        channels, height, width = shape
        shared = context_dim, options.activation, options.coefficient, options.iterations
        return contractive_conv_net((channels, height, width), options.channels, *shared)

    def steps(shape: Shape) -> list[Transform]:
        return _blocks(shape, options, net, log_det)

    return Steps([squeezed_scales(event_shape, context_dim, options.scales, steps)], options.base)


def _blocks(
    shape: Shape, options: BlockOptions, make_net: Callable[[Shape], ContractiveNet], log_det: LogDet
) -> list[Transform]:
    transforms: list[Transform] = []
    for _ in range(options.transforms):
        transforms += [ActNorm(shape), Residual(shape, make_net(shape), log_det)]
    return transforms


def _log_det(event_shape: Shape, options: BlockOptions, series: Series) -> LogDet:
    """How the log-determinants of blocks on such events are computed.

    Raises OptionError where a number of terms was set that nothing uses.
    """
    name = options.log_det
    if name == "auto":
        name = "exact" if exact_by_default(event_shape) else series
    unused = {"exact": ("terms", "exact_terms"), "truncated": ("exact_terms",), "roulette": ("terms",)}[name]
    refuse_unused(options, unused, f"log-determinants of these events are {name}")
    if name == "exact":
        return ExactLogDet()
    return TruncatedLogDet(options.terms) if name == "truncated" else RouletteLogDet(options.exact_terms)
