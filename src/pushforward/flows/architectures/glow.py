"""Glow: activation normalisation, a learned matrix across channels and an affine coupling in every step.

Source: Kingma & Dhariwal, "Glow: Generative flow with invertible 1x1 convolutions", 2018, and the authors' code, whose
couplings have the log-scale ``sigmoid``; the default here starts at the identity and is bounded on both sides.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field

from pushforward.events import Shape
from pushforward.flows.options import Architecture, Recipe, Steps, refuse_unused
from pushforward.flows.parts.couplings import CouplingOptions, couplings
from pushforward.flows.parts.fields import LinearBefore, LogScale, MemorySaving
from pushforward.flows.parts.maps import affine_map
from pushforward.flows.parts.mixing import refuse_mixing
from pushforward.flows.parts.scales import ConvCouplingOptions, act_norm_nets, coupling_steps, squeezed_scales
from pushforward.flows.parts.steps import normalised
from pushforward.maps import Affine, Map, SoftClampScale
from pushforward.maps.affine import STACKED_LIMIT
from pushforward.transforms import Chain, Reversible

Limit: TypeAlias = Annotated[
    float, Field(gt=0, allow_inf_nan=False, description="largest absolute log-scale of soft-clamp")
]


class GlowVectorOptions(CouplingOptions):
    """Options of `glow` on vectors."""

    linear: LinearBefore = "lu"
    log_scale: LogScale = "soft-clamp"
    limit: Limit = STACKED_LIMIT


class GlowImageOptions(ConvCouplingOptions):
    """Options of `glow` on images. The published CIFAR-10 model: 3 scales of 32 steps, 512 channels."""

    memory_saving: MemorySaving = False
    log_scale: LogScale = "soft-clamp"
    limit: Limit = STACKED_LIMIT


def vector_steps(event_shape: Shape, context_dim: int, options: GlowVectorOptions) -> Steps:
    """Normalisation, linear layer and coupling of coordinates in every step."""
    refuse_mixing(event_shape, options, ("linear",))
    coupling = couplings(event_shape, context_dim, options, lambda: _map(event_shape, options))
    return Steps(normalised(event_shape, options, coupling), options.base)


def image_steps(event_shape: Shape, context_dim: int, options: GlowImageOptions) -> Steps:
    """Normalisation, linear layer and coupling of channels in every step, in squeezed scales."""
    nets = act_norm_nets(options, context_dim)
    steps = coupling_steps(options, lambda: _map(event_shape, options), nets)
    join = Reversible if options.memory_saving else Chain
    scales = squeezed_scales(event_shape, context_dim, options.scales, steps, join=join)
    return Steps([scales], options.base)


def _map(event_shape: Shape, options: GlowVectorOptions | GlowImageOptions) -> Map:
    if options.log_scale == "soft-clamp" and event_shape != (1,):
        return Affine(SoftClampScale(options.limit))
    refuse_unused(options, ("limit",), "only couplings with the log-scale soft-clamp have one")
    return affine_map(event_shape, options, options.log_scale)


ARCHITECTURE = Architecture(
    name="glow",
    summary="affine couplings with learned mixing of channels; multi-scale with learned priors for images",
    when="For images: more steps than real_nvp at equal cost, a class-conditional prior, optional memory saving.",
    source="Kingma & Dhariwal, 2018",
    vectors=Recipe(GlowVectorOptions, vector_steps),
    images=Recipe(GlowImageOptions, image_steps),
)
