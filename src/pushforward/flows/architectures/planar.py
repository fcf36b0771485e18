"""Planar flow: many steps that each bend space across one hyperplane.

Source: Rezende & Mohamed, "Variational inference with normalizing flows", 2015.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pushforward.events import Shape
from pushforward.flows.options import Architecture, Recipe, Steps
from pushforward.flows.parts.fields import Transforms
from pushforward.flows.parts.steps import AmortisedOptions, alternating, directed
from pushforward.transforms import Planar, Transform


class PlanarOptions(AmortisedOptions):
    """Options of `planar`."""

    transforms: Annotated[Transforms, Field(description="steps, each bending space across one plane")] = 32


def steps(event_shape: Shape, context_dim: int, options: PlanarOptions) -> Steps:
    """Planar transforms."""

    def step(i: int) -> Transform:
        planar = Planar(event_shape[0], context_dim, options.hidden, options.activation)
        return directed(planar, options.direction)

    return alternating(event_shape, options, step)


ARCHITECTURE = Architecture(
    name="planar",
    summary="many steps that bend space across one hyperplane each, with a numeric inverse",
    when="As the classic of variational inference, with few parameters from a net of the context; each step is weak.",
    source="Rezende & Mohamed, 2015",
    vectors=Recipe(PlanarOptions, steps),
)
