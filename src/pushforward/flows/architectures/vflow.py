"""VFlow: couplings in a space with more dimensions than the data, which are drawn by a flow of their own.

Source: Chen, Lu, Chenli, Zhu & Tian, "VFlow: More expressive generative flows with variational data augmentation",
2020. The published image model has the steps of Flow++; here they are Glow's, with affine maps or splines.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import Field
from torch import nn

from pushforward.bases import build_base
from pushforward.events import Shape
from pushforward.flow import Flow
from pushforward.flows.data_layers import data_layers
from pushforward.flows.options import Architecture, refuse_unused
from pushforward.flows.parts.conditional import drawn_given
from pushforward.flows.parts.scales import (
    SqueezedOptions,
    StepsOptions,
    coupling_steps,
    refuse_other_events,
    squeezed_scales,
)
from pushforward.flows.parts.vectors import SplineOptions, couplings, linear_layers
from pushforward.maps import Affine, Map, RationalQuadraticSpline, SoftClampScale
from pushforward.nets import ActNormConvNet
from pushforward.transforms import ActNorm, Augment
from pushforward.transforms.base import Chain, Transform

# Of affine couplings; wider limits let outliers of images run away from step to step.
_LIMIT = 2.0


class VFlowOptions(SplineOptions, StepsOptions, SqueezedOptions):
    """Options of `vflow`. The published CIFAR-10 model: 3 extra channels, drawn by 4 couplings."""

    extra: Annotated[
        int | None, Field(ge=1, description="coordinates or channels that are added; None: as many as the data have")
    ] = None
    posterior: Annotated[int, Field(ge=0, description="couplings of the flow that draws them")] = 4
    map: Annotated[Literal["affine", "spline"], Field(description="what the couplings apply")] = "affine"


def build(event_shape: Shape, context_dim: int, options: VFlowOptions) -> Flow:
    """VFlow for events ``(D,)`` or ``(C, H, W)``."""
    refuse_other_events(event_shape, options)
    if options.map == "affine":
        refuse_unused(options, ("bins", "bound"), "it is for couplings of splines, and map is 'affine'")
    layers = data_layers(event_shape, context_dim, options)
    extra = (options.extra or event_shape[0], *event_shape[1:])
    if math.prod(extra) == 1:
        refuse_unused(options, ("posterior",), "a single value that is added has none to be coupled with")
    drawn = drawn_given(extra, event_shape, context_dim, couplings=options.posterior)
    layers.append(Augment(event_shape, drawn))
    shape = layers[-1].latent_shape

    def make_map() -> Map:
        if options.map == "spline":
            return RationalQuadraticSpline(options.bins, options.bound)
        return Affine(SoftClampScale(_LIMIT))

    def make_net(inputs: int, outputs: int) -> nn.Module:
        return ActNormConvNet(inputs, outputs, options.channels, context_dim)

    if len(event_shape) == 1:
        layers += _steps(shape, context_dim, options, make_map)
    else:
        steps = coupling_steps(options, make_map, make_net)
        layers.append(squeezed_scales(shape, context_dim, options, steps))
    chain = Chain(layers)
    return Flow(build_base(options.base, chain.latent_shape, context_dim), chain)


def _steps(event_shape: Shape, context_dim: int, options: VFlowOptions, make_map: Callable[[], Map]) -> list[Transform]:
    coupling, found = couplings(event_shape, context_dim, make_map, options), list[Transform]()
    for i in range(options.transforms):
        found += [ActNorm(event_shape), *linear_layers(event_shape, options.linear, "orthogonal"), coupling(i)]
    return found


ARCHITECTURE = Architecture(
    name="vflow",
    options=VFlowOptions,
    build=build,
    summary="couplings in more dimensions than the data have; the likelihood is a bound",
    when="Where the data lie on pieces or thin sheets that a bijection joins; score with many samples.",
    source="Chen, Lu, Chenli, Zhu & Tian, 2020",
)
