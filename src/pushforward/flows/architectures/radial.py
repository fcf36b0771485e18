"""Radial flow: many steps that each stretch or squeeze space around one point.

Source: Rezende & Mohamed, "Variational inference with normalizing flows", 2015.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pushforward.events import Shape
from pushforward.flow import Flow
from pushforward.flows.options import Architecture
from pushforward.flows.parts.vectors import AmortisedOptions, turned, vector_flow
from pushforward.transforms import Radial
from pushforward.transforms.base import Transform


class RadialOptions(AmortisedOptions):
    """Options of `radial`."""

    transforms: Annotated[int, Field(ge=1, description="steps, each stretching space around one point")] = 32


def build(event_shape: Shape, context_dim: int, options: RadialOptions) -> Flow:
    """Radial flow on vectors (D,)."""

    def step(i: int) -> Transform:
        radial = Radial(event_shape[0], context_dim, options.hidden, options.activation)
        return turned(radial, options.direction)

    return vector_flow(event_shape, context_dim, options, step)


ARCHITECTURE = Architecture(
    name="radial",
    options=RadialOptions,
    build=build,
    summary="many stretches around one point each, closed form both ways",
    when="When the fewest parameters have to move mass towards or away from a few points, in few dimensions.",
    source="Rezende & Mohamed, 2015",
)
