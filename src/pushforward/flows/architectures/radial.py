"""Radial flow: many steps that each stretch or squeeze space around one point.

Source: Rezende & Mohamed, "Variational inference with normalizing flows", 2015.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pushforward.events import Shape
from pushforward.flows.options import Architecture, Recipe, Steps
from pushforward.flows.parts.fields import Transforms
from pushforward.flows.parts.steps import AmortisedOptions, alternating, directed
from pushforward.transforms import Radial, Transform


class RadialOptions(AmortisedOptions):
    """Options of `radial`."""

    transforms: Annotated[Transforms, Field(description="steps, each stretching space around one point")] = 32


def steps(event_shape: Shape, context_dim: int, options: RadialOptions) -> Steps:
    """Radial transforms."""

    def step(i: int) -> Transform:
        radial = Radial(event_shape[0], context_dim, options.hidden, options.activation)
        return directed(radial, options.direction)

    return alternating(event_shape, options, step)


ARCHITECTURE = Architecture(
    name="radial",
    summary="many steps that stretch space around one point each, with a closed-form inverse",
    when="When very few parameters must move mass towards or away from a few points, in few dimensions.",
    source="Rezende & Mohamed, 2015",
    vectors=Recipe(RadialOptions, steps),
)
