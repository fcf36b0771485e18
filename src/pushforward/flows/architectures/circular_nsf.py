"""Neural spline flow on circles, and on vectors with some circular coordinates.

Source: Rezende, Papamakarios, Racaniere, Albergo, Kanwar, Shanahan & Cranmer, "Normalizing flows on tori and spheres",
2020, section 2.1.3 and 3.1; the nets and couplings are those of Durkan et al., "Neural spline flows", 2019.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from pushforward.bases import Base, ProductBase, StandardNormal, UniformCircle
from pushforward.domain import CIRCLE, REAL, Domain, product
from pushforward.errors import OptionError
from pushforward.events import Shape
from pushforward.flows.data_layers import BoundsOption, bounds_layers
from pushforward.flows.options import Architecture, Coordinate, Options, Recipe, Steps, refuse_unused
from pushforward.flows.parts.couplings import partitions
from pushforward.flows.parts.fields import Activation, Bins, Bound, Dropout, Hidden, Transforms
from pushforward.maps import RationalQuadraticSpline
from pushforward.nets import MLP
from pushforward.nets.circular import CircularFeatures, circular_inputs
from pushforward.transforms import (
    Angles,
    Chain,
    Coupling,
    Identity,
    Inverse,
    Product,
    Standardise,
    Transform,
    VectorPartition,
)

Ends = Annotated[float, Field(allow_inf_nan=False)]


class CircularNSFOptions(Options):
    """Options of `circular_nsf`."""

    circular: Annotated[
        tuple[Coordinate, ...] | None,
        Field(description="the periodic coordinates, counted from 0; None: all of them"),
    ] = None
    low: Annotated[
        Ends | tuple[Ends, ...],
        Field(description="lower end of the period: one number, or one for each periodic coordinate"),
    ] = -math.pi
    high: Annotated[
        Ends | tuple[Ends, ...],
        Field(description="upper end of the period: one number, or one for each periodic coordinate"),
    ] = math.pi
    bounds: Annotated[BoundsOption, Field(description="as of other flows, of coordinates that are not periodic")] = None
    wrap: Annotated[bool, Field(description="reduce periodic values outside their period modulo the period")] = False
    standardise: Annotated[
        bool, Field(description="centre and scale the coordinates that are not periodic, by the training rows")
    ] = True
    transforms: Annotated[
        Transforms, Field(description="couplings, each changing half of the periodic and half of the other coordinates")
    ] = 8
    hidden: Hidden = (128, 128)
    activation: Activation = "relu"
    dropout: Dropout = 0.0
    bins: Bins = 8
    bound: Annotated[
        Bound, Field(description="for coordinates that are not periodic: interval [-bound, bound] of a spline")
    ] = 3.0


def steps(event_shape: Shape, context_dim: int, options: CircularNSFOptions) -> Steps:
    """Couplings on a torus ``(D,)``, or on a torus times real coordinates."""
    (features,) = event_shape
    circular, real = _kinds(features, options)
    transforms = [_data_layer(circular, real, options)]
    periodic = set(circular)
    domain = product([CIRCLE if i in periodic else REAL for i in range(features)])
    blocks = [block for block in (circular, real) if block]
    # Halves of each kind: the number of coordinates of a kind decides the shape of a net and must not be random.
    halves = [partitions(len(block), "random") for block in blocks]
    for _ in range(options.transforms):
        for block, half in zip(blocks, halves, strict=True):
            partition = VectorPartition(features, [block[i] for i in next(half).indices])
            transforms.append(_coupling(domain, periodic, partition, context_dim, options))
    bases: list[Base] = [UniformCircle((len(b),)) if b is circular else StandardNormal((len(b),)) for b in blocks]
    return Steps(transforms, ProductBase(bases, blocks))


def _kinds(features: int, options: CircularNSFOptions) -> tuple[list[int], list[int]]:
    """The periodic coordinates, and the others."""
    circular = list(range(features)) if options.circular is None else sorted(options.circular)
    if not circular or len(set(circular)) != len(circular) or circular[-1] >= features:
        raise OptionError(
            f"circular must name one or more coordinates of 0..{features - 1}, each once, got {options.circular}; "
            "without any periodic coordinate use nsf"
        )
    periodic = set(circular)
    real = [i for i in range(features) if i not in periodic]
    if not real:
        refuse_unused(options, ("bound", "bounds", "standardise"), "every coordinate is periodic")
    return circular, real


def _data_layer(circular: list[int], real: list[int], options: CircularNSFOptions) -> Transform:
    """Periodic coordinates become angles, each kind of period in one block; the others are standardised."""
    named = circular if options.circular is None else options.circular
    periods: dict[tuple[float, float], list[int]] = {}
    ends = zip(_one_each(options.low, "low", len(named)), _one_each(options.high, "high", len(named)), strict=True)
    for i, period in zip(named, ends, strict=True):
        periods.setdefault(period, []).append(i)
    parts: list[Transform] = [Angles((len(block),), low, high, options.wrap) for (low, high), block in periods.items()]
    blocks = list(periods.values())
    if real:
        parts.append(_real_layer(real, options))
        blocks.append(real)
    return Product(parts, blocks)


def _real_layer(real: list[int], options: CircularNSFOptions) -> Transform:
    """Bounds and standardisation of the coordinates that are not periodic."""
    given = options.bounds or {}
    periodic = [i for i in given if i not in real]
    if periodic:
        raise OptionError(f"bounds must name coordinates that are not periodic, {real}, got {periodic[0]}")
    shape = (len(real),)
    layers = bounds_layers(shape, {real.index(i): ends for i, ends in given.items()})
    layers.append(Standardise(shape) if options.standardise else Identity(shape))
    return Chain(layers) if len(layers) > 1 else layers[0]


def _one_each(end: float | tuple[float, ...], name: str, count: int) -> Sequence[float]:
    if isinstance(end, tuple):
        if len(end) != count:
            raise OptionError(f"{name} must be one number or {count}, one a periodic coordinate, got {len(end)}")
        return end
    return [end] * count


def _coupling(
    domain: Domain, circular: set[int], partition: VectorPartition, context_dim: int, options: CircularNSFOptions
) -> Transform:
    """A coupling that changes coordinates that are all periodic or all not, given all others."""
    (features,), changed = partition.event_shape, partition.indices
    ours = set(changed)
    kept = [i for i in range(features) if i not in ours]
    seen_circular = [position for position, i in enumerate(kept) if i in circular]
    periodic = changed[0] in circular
    map = RationalQuadraticSpline(options.bins, options.bound, "circular" if periodic else "linear")
    net = MLP(
        circular_inputs(len(kept), len(seen_circular)),
        map.n_params * len(changed),
        options.hidden,
        context_dim,
        options.activation,
        options.dropout,
        residual=True,
    )
    coupling = Coupling(partition, map, CircularFeatures(len(kept), seen_circular, net), domain=domain)
    # A periodic spline ends with a rotation, and its inverse begins with one: a rotation at the end of the flow would
    # not change the density, as the base is uniform.
    return Inverse(coupling) if periodic else coupling


ARCHITECTURE = Architecture(
    name="circular_nsf",
    summary="couplings of splines on circles, alone or together with real coordinates",
    when="For angles, times of day and other periodic data: the density agrees where the period closes.",
    source="Rezende et al., 2020",
    vectors=Recipe(CircularNSFOptions, steps),
)
