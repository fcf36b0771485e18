"""VFlow: couplings in more dimensions than the data have; a conditional flow draws the added ones.

Source: Chen, Lu, Chenli, Zhu & Tian, "VFlow: More expressive generative flows with variational data augmentation",
2020. The published image model has the steps of Flow++; here they are Glow's, with affine maps or splines.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, TypeAlias

from pydantic import Field

from pushforward.events import Shape
from pushforward.flows.options import Architecture, Recipe, Steps, refuse_unused
from pushforward.flows.parts.conditional import conditional_density
from pushforward.flows.parts.couplings import CouplingOptions, couplings
from pushforward.flows.parts.fields import Bins, Bound, LinearBefore, MapName, MemorySaving
from pushforward.flows.parts.maps import affine_or_spline
from pushforward.flows.parts.scales import ConvCouplingOptions, act_norm_nets, coupling_steps, squeezed_scales
from pushforward.flows.parts.steps import normalised
from pushforward.maps import Map
from pushforward.maps.affine import STACKED_LIMIT
from pushforward.transforms import Augment, Chain, Reversible

Extra: TypeAlias = Annotated[int | None, Field(ge=1)]
Posterior: TypeAlias = Annotated[int, Field(ge=0, description="couplings of the flow that draws the added values")]


class VFlowVectorOptions(CouplingOptions):
    """Options of `vflow` on vectors."""

    linear: LinearBefore = "lu"
    extra: Annotated[Extra, Field(description="number of added coordinates; None: as many as the data have")] = None
    posterior: Posterior = 4
    map: MapName = "affine"
    bins: Bins = 8
    bound: Bound = 3.0


class VFlowImageOptions(ConvCouplingOptions):
    """Options of `vflow` on images. The published CIFAR-10 model: 3 extra channels, drawn by 4 couplings."""

    memory_saving: MemorySaving = False
    extra: Annotated[Extra, Field(description="number of added channels; None: as many as the data have")] = None
    posterior: Posterior = 4
    map: MapName = "affine"
    bins: Bins = 8
    bound: Bound = 3.0


_Options: TypeAlias = VFlowVectorOptions | VFlowImageOptions


def vector_steps(event_shape: Shape, context_dim: int, options: VFlowVectorOptions) -> Steps:
    """Glow's steps on the data and the added coordinates."""
    augment = _augment(event_shape, context_dim, options)
    coupling = couplings(augment.latent_shape, context_dim, options, _maps(options))
    return Steps([augment, *normalised(augment.latent_shape, options, coupling)], options.base)


def image_steps(event_shape: Shape, context_dim: int, options: VFlowImageOptions) -> Steps:
    """Glow's steps on the data and the added channels, in squeezed scales."""
    augment = _augment(event_shape, context_dim, options)
    steps = coupling_steps(options, _maps(options), act_norm_nets(options, context_dim))
    joint = augment.latent_shape
    join = Reversible if options.memory_saving else Chain
    scales = squeezed_scales(joint, context_dim, options.scales, steps, join=join)
    return Steps([augment, scales], options.base)


def _maps(options: _Options) -> Callable[[], Map]:
    reason = f"it is for couplings of splines, and map is {options.map!r}"
    return affine_or_spline(options, options.map == "spline", options.bins, options.bound, STACKED_LIMIT, reason)


def _augment(event_shape: Shape, context_dim: int, options: _Options) -> Augment:
    added = (options.extra or event_shape[0], *event_shape[1:])
    if math.prod(added) == 1:
        refuse_unused(options, ("posterior",), "a single added value has no other to be coupled with")
    return Augment(event_shape, conditional_density(added, event_shape, context_dim, couplings=options.posterior))


ARCHITECTURE = Architecture(
    name="vflow",
    summary="couplings in more dimensions than the data have; the likelihood is a bound",
    when="For data on separate pieces or thin sheets, which a bijection would join; score with many samples.",
    source="Chen, Lu, Chenli, Zhu & Tian, 2020",
    vectors=Recipe(VFlowVectorOptions, vector_steps),
    images=Recipe(VFlowImageOptions, image_steps),
)
