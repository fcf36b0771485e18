"""Planar flow: many steps that each bend space across one hyperplane.

Source: Rezende & Mohamed, "Variational inference with normalizing flows", 2015.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pushforward.events import Shape
from pushforward.flow import Flow
from pushforward.flows.options import Architecture
from pushforward.flows.parts.vectors import AmortisedOptions, turned, vector_flow
from pushforward.transforms import Planar
from pushforward.transforms.base import Transform


class PlanarOptions(AmortisedOptions):
    """Options of `planar`."""

    transforms: Annotated[int, Field(ge=1, description="steps, each bending space across one plane")] = 32


def build(event_shape: Shape, context_dim: int, options: PlanarOptions) -> Flow:
    """Planar flow on vectors (D,)."""

    def step(i: int) -> Transform:
        planar = Planar(event_shape[0], context_dim, options.hidden, options.activation)
        return turned(planar, options.direction)

    return vector_flow(event_shape, context_dim, options, step)


ARCHITECTURE = Architecture(
    name="planar",
    options=PlanarOptions,
    build=build,
    summary="many bends across one hyperplane each, with an inverse by numeric roots",
    when="As the classic of variational inference, with a net of the context for its few parameters; a step is weak.",
    source="Rezende & Mohamed, 2015",
)
