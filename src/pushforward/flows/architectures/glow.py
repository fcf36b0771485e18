"""Glow: activation normalisation, a learned matrix across channels and an affine coupling in every step.

Source: Kingma & Dhariwal, "Glow: Generative flow with invertible 1x1 convolutions", 2018, and the authors' code, whose
couplings have the log-scale ``sigmoid``; what is the default here starts at the identity, and is bounded on both sides.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import nn

from pushforward.bases import build_base
from pushforward.events import Shape
from pushforward.flow import Flow
from pushforward.flows.data_layers import data_layers
from pushforward.flows.options import Architecture, refuse_unused
from pushforward.flows.parts.scales import (
    SqueezedOptions,
    StepsOptions,
    coupling_steps,
    refuse_other_events,
    squeezed_flow,
)
from pushforward.flows.parts.vectors import LogScaleOptions, affine_map, couplings, linear_layers, refuse_mixing
from pushforward.maps import Affine, Map, SoftClampScale
from pushforward.nets import ActNormConvNet
from pushforward.transforms import ActNorm
from pushforward.transforms.base import Chain


class GlowOptions(LogScaleOptions, StepsOptions, SqueezedOptions):
    """Options of `glow`. The published CIFAR-10 model: 3 scales of 32 steps, 512 channels."""

    # Wider limits let a coupling answer what is unlike the training images with scales that the next ones multiply:
    # with 5, after 20 minutes, one of 10,000 test images of MNIST had a likelihood of 1e13 bits/dim.
    limit: Annotated[float, Field(gt=0, allow_inf_nan=False, description="soft-clamp: no log-scale lies beyond it")] = (
        2.0
    )


def build(event_shape: Shape, context_dim: int, options: GlowOptions) -> Flow:
    """Glow for events ``(D,)`` or ``(C, H, W)``."""

    def make_map() -> Map:
        if options.log_scale == "soft-clamp" and event_shape != (1,):
            return Affine(SoftClampScale(options.limit))
        refuse_unused(options, ("limit",), "only couplings with the log-scale soft-clamp have one")
        return affine_map(event_shape, options)

    def make_net(inputs: int, outputs: int) -> nn.Module:
        return ActNormConvNet(inputs, outputs, options.channels, context_dim)

    refuse_other_events(event_shape, options)
    if len(event_shape) != 1:
        return squeezed_flow(event_shape, context_dim, options, coupling_steps(options, make_map, make_net))
    refuse_mixing(event_shape, options, ("linear",))
    layers = data_layers(event_shape, context_dim, options)
    coupling = couplings(event_shape, context_dim, make_map, options)
    for i in range(options.transforms):
        layers += [ActNorm(event_shape), *linear_layers(event_shape, options.linear, "orthogonal"), coupling(i)]
    return Flow(build_base(options.base, event_shape, context_dim), Chain(layers))


ARCHITECTURE = Architecture(
    name="glow",
    options=GlowOptions,
    build=build,
    summary="affine couplings with learned mixing of channels; multi-scale with learned priors for images",
    when="For images: more steps at the same cost as real_nvp, classes in the prior, little memory if asked for.",
    source="Kingma & Dhariwal, 2018",
)
