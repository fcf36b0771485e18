"""What i-ResNets and residual flows share: their options, and blocks ``x + g(x)`` with normalisations between."""

from __future__ import annotations

import math
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from pushforward.bases import build_base
from pushforward.events import Shape
from pushforward.flow import Flow
from pushforward.flows.data_layers import data_layers
from pushforward.flows.options import refuse_unused
from pushforward.flows.parts.scales import ScalesOptions, refuse_other_events, squeezed_flow
from pushforward.nets import ContractiveNet, contractive_conv_net, contractive_mlp
from pushforward.nets.lipschitz import ContractiveActivation
from pushforward.transforms import ActNorm, ExactLogDet, LogDet, Residual, RouletteLogDet, TruncatedLogDet
from pushforward.transforms.base import Chain, Transform

LogDetName: TypeAlias = Literal["auto", "exact", "truncated", "roulette"]

# A Jacobian of so many columns takes about as long as the terms of a series do.
EXACT_LIMIT = 8


class ResidualOptions(ScalesOptions):
    """Options of a flow of residual blocks."""

    transforms: Annotated[int, Field(ge=1, description="residual blocks; images: of every scale")] = 8
    hidden: Annotated[
        tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1, description="vectors: widths of a block's net")
    ] = (128, 128)
    activation: Annotated[
        ContractiveActivation, Field(description="of the nets: lipswish, which is smooth, or elu")
    ] = "lipswish"
    coefficient: Annotated[
        float,
        Field(gt=0, lt=1, description="what no norm of a layer exceeds; below 1 blocks are invertible"),
    ] = 0.9
    iterations: Annotated[int, Field(ge=1, description="power iterations for a layer's norm in a training step")] = 5
    log_det: Annotated[
        LogDetName,
        Field(description="log-determinants: exact, a series truncated or ended by roulette, or as suits the size"),
    ] = "auto"
    terms: Annotated[int, Field(ge=1, description="of a truncated series: how many terms")] = 5
    exact_terms: Annotated[
        int,
        Field(ge=0, description="of a series ended by roulette: terms before that in training; in evaluation 20"),
    ] = 2


def log_det(event_shape: Shape, options: ResidualOptions, series: Literal["truncated", "roulette"]) -> LogDet:
    """How the log-determinants of blocks on such events are computed; series: where the events are large.

    Raises OptionError where a number of terms was set that nothing uses.
    """
    name = options.log_det
    if name == "auto":
        name = "exact" if math.prod(event_shape) <= EXACT_LIMIT else series
    unused = {"exact": ("terms", "exact_terms"), "truncated": ("exact_terms",), "roulette": ("terms",)}[name]
    refuse_unused(options, unused, f"log-determinants of these events are {name}")
    if name == "exact":
        return ExactLogDet()
    return TruncatedLogDet(options.terms) if name == "truncated" else RouletteLogDet(options.exact_terms)


def residual_flow(event_shape: Shape, context_dim: int, options: ResidualOptions, log_det: LogDet) -> Flow:
    """Blocks with a normalisation before each, and one at the end, on vectors ``(D,)``; or on images in scales."""
    refuse_other_events(event_shape, options, ("hidden",), ("channels", "scales"))

    def steps(shape: Shape) -> list[Transform]:
        found: list[Transform] = []
        for _ in range(options.transforms):
            found += [ActNorm(shape), Residual(shape, _net(shape, context_dim, options), log_det)]
        return found

    if len(event_shape) != 1:
        return squeezed_flow(event_shape, context_dim, options, steps)
    layers = [*data_layers(event_shape, context_dim, options), *steps(event_shape), ActNorm(event_shape)]
    return Flow(build_base(options.base, event_shape, context_dim), Chain(layers))


def _net(shape: Shape, context_dim: int, options: ResidualOptions) -> ContractiveNet:
    shared = context_dim, options.activation, options.coefficient, options.iterations
    if len(shape) == 1:
        return contractive_mlp(shape[0], options.hidden, *shared)
    channels, height, width = shape
    return contractive_conv_net((channels, height, width), options.channels, *shared)
