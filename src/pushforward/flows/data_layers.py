"""Data layers between the data as the user has them and the first step: levels, bounds and standardisation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field

from pushforward.errors import OptionError
from pushforward.events import Shape
from pushforward.flows.options import Coordinate, Options, refuse_unused
from pushforward.flows.parts.fields import BaseName
from pushforward.maps import Affine, SoftClampScale
from pushforward.nets import MLP, GatedAttentionNet, GatedFeatures
from pushforward.transforms import (
    Bounds,
    Chain,
    Checkerboard,
    Coupling,
    Dequantisation,
    Dequantise,
    Logit,
    Partition,
    Standardise,
    Transform,
    VariationalDequantise,
)
from pushforward.transforms.partition import half

# Sizes of the nets of the noise flow: the density within a cell is simple.
_NOISE_COUPLINGS, _NOISE_CHANNELS, _NOISE_BLOCKS, _NOISE_HIDDEN = 4, 16, 1, (64,)


End: TypeAlias = Annotated[float | None, Field(allow_inf_nan=False)]
Ends: TypeAlias = tuple[End, End]


def _numbered(value: Any) -> Any:
    """Bounds by number, from a list with one entry, perhaps None, for each coordinate."""
    if isinstance(value, list | tuple):
        return {i: ends for i, ends in enumerate(value) if ends is not None}
    return value


BoundsOption: TypeAlias = Annotated[
    dict[Coordinate, Ends] | None,
    BeforeValidator(_numbered),
    Field(description="bounds of coordinates: {0: (0, 1), 1: (0, None)}, or as words COLUMN:LOW:HIGH"),
]


class DataOptions(Options):
    """Options of the data layers. Integer data have ``levels``; others may have ``bounds``, and are standardised.

    >>> from pushforward.flows import DataOptions
    >>> DataOptions(levels=256).levels
    256
    """

    levels: Annotated[
        int | None,
        Field(ge=2, description="number of levels of integer data 0..levels-1; adds dequantisation and a logit"),
    ] = None
    dequantisation: Annotated[
        Literal["uniform", "variational"],
        Field(description="noise for data with levels: uniform, or learned for a tighter bound"),
    ] = "uniform"
    bounds: BoundsOption = None
    alpha: Annotated[float, Field(ge=0, lt=0.5, description="margin of the logit, for data with levels")] = 0.05
    standardise: Annotated[bool, Field(description="centre and scale data without levels, by the training rows")] = True


class FlowOptions(DataOptions):
    """Options of a flow whose base is chosen by name.

    >>> from pushforward.flows import FlowOptions
    >>> class MyOptions(FlowOptions):
    ...     transforms: int = 4
    >>> MyOptions(transforms=2).base
    'normal'
    """

    base: BaseName = "normal"


def data_layers(event_shape: Shape, context_dim: int, options: DataOptions) -> list[Transform]:
    """Dequantisation and logit for data with levels; standardisation, or nothing, for others."""
    if options.levels is None:
        refuse_unused(options, ("alpha", "dequantisation"), "it is for data with levels")
        layers = bounds_layers(event_shape, options.bounds)
        return [*layers, Standardise(event_shape)] if options.standardise else layers
    refuse_unused(options, ("bounds",), "data with levels are bounded by them")
    if options.alpha == 0:
        # At alpha = 0 a dequantised 0 would lie at the logit's pole.
        raise OptionError("alpha must be above 0 for data with levels")
    if options.dequantisation == "uniform":
        first: Dequantisation = Dequantise(event_shape, options.levels)
    else:
        first = variational(event_shape, context_dim, options.levels)
    return [first, Logit(event_shape, options.alpha)]


def bounds_layers(event_shape: Shape, bounds: Mapping[int, Ends] | None) -> list[Transform]:
    """The transform of coordinates with bounds to real ones; none where no coordinate has any.

    bounds: low and high by the number of the coordinate, None for an open end. Raises OptionError for events that are
    not vectors, for a coordinate that they do not have, and for bounds that are not in order.
    """
    if not bounds:
        return []
    if len(event_shape) != 1:
        raise OptionError(f"bounds are for vectors, not for events of shape {event_shape}; images have levels")
    beyond = [i for i in bounds if i >= event_shape[0]]
    if beyond:
        raise OptionError(f"bounds name coordinate {beyond[0]}, but the vectors have 0 to {event_shape[0] - 1}")
    ends = [bounds.get(i, (None, None)) for i in range(event_shape[0])]
    low = [-math.inf if a is None else a for a, _ in ends]
    return [Bounds(low, [math.inf if b is None else b for _, b in ends])]


def variational(event_shape: Shape, context_dim: int, levels: int) -> VariationalDequantise:
    """Variational dequantisation: noise from four couplings given the data and the context, with affine maps.

    The maps are affine, because the log term of samples needs their inverse, and a density within one cell is seldom
    more than a slope. Couplings that would change nothing, every second one of a single pixel or feature, are left out.
    """
    image = len(event_shape) == 3
    first: Partition = Checkerboard(event_shape, 1) if image else half(event_shape[0])
    given = _NOISE_CHANNELS if image else event_shape[0] + context_dim
    steps = []
    for i in range(_NOISE_COUPLINGS):
        partition, map = first if i % 2 == 0 else first.complement(), Affine(SoftClampScale())
        inputs, outputs = partition.net_sizes(map)
        if partition.changed_shape[-1] == 0:
            continue
        if isinstance(partition, Checkerboard):
            size = (event_shape[1], event_shape[2])
            net = GatedAttentionNet(
                inputs,
                outputs,
                size,
                _NOISE_CHANNELS,
                _NOISE_BLOCKS,
                context_channels=given,
                mask=partition.mask,
            )
            steps.append(Coupling(partition, map, net))
        else:
            steps.append(Coupling(partition, map, MLP(inputs, outputs, _NOISE_HIDDEN, given, "silu")))
    features = GatedFeatures(event_shape, _NOISE_CHANNELS, context_dim) if image else None
    return VariationalDequantise(event_shape, levels, Chain(steps), features)
