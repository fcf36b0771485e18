"""Flows on vectors: steps with linear layers between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeAlias

from pydantic import Field

from pushforward.events import Shape
from pushforward.flows.data_layers import FlowOptions
from pushforward.flows.options import Steps
from pushforward.flows.parts.fields import Activation, Hidden, Linear, Transforms
from pushforward.flows.parts.mixing import linear_layers, refuse_mixing
from pushforward.transforms import ActNorm, Inverse, Transform
from pushforward.transforms.base import Direction

MakeStep: TypeAlias = Callable[[int], Transform]


class StepOptions(FlowOptions):
    """Options of a flow on vectors whose steps alternate with linear layers."""

    transforms: Transforms = 3
    linear: Linear = "lu"


class NetOptions(StepOptions):
    """Options of such a flow whose steps have nets."""

    hidden: Hidden = (128, 128)
    activation: Activation = "relu"


class AmortisedOptions(NetOptions):
    """Options of such a flow whose steps have learned parameters, shifted by a net of the context."""

    linear: Linear = "none"
    hidden: Annotated[
        Hidden, Field(description="widths of the net of the context, if there is one, that shifts a step's parameters")
    ] = (128, 128)
    direction: Annotated[
        Direction,
        Field(description="the direction with a closed form; the other one needs more work, or numeric roots"),
    ] = "to_latent"


def alternating(event_shape: Shape, options: StepOptions, make_step: MakeStep) -> Steps:
    """``options.transforms`` steps ``make_step(i)`` with linear layers between them."""
    refuse_mixing(event_shape, options, ("linear",))
    transforms: list[Transform] = []
    for i in range(options.transforms):
        if i:
            transforms += linear_layers(event_shape, options.linear)
        transforms.append(make_step(i))
    return Steps(transforms, options.base)


def normalised(event_shape: Shape, options: StepOptions, make_step: MakeStep) -> list[Transform]:
    """The steps, each after an activation normalisation and a linear layer, as Glow arranges them."""
    transforms: list[Transform] = []
    for i in range(options.transforms):
        transforms += [ActNorm(event_shape), *linear_layers(event_shape, options.linear, "orthogonal"), make_step(i)]
    return transforms


def directed(step: Transform, direction: Direction) -> Transform:
    """``step``, or its inverse, such that the cheap pass, its `to_latent`, is in ``direction``."""
    return step if direction == "to_latent" else Inverse(step)
