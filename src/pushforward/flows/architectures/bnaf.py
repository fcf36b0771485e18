"""Block neural autoregressive flow.

Source: De Cao, Titov & Aziz, "Block Neural Autoregressive Flow", 2019.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pushforward.events import Shape
from pushforward.flow import Flow
from pushforward.flows.options import Architecture
from pushforward.flows.parts.vectors import StepOptions, vector_flow
from pushforward.transforms import BlockAutoregressive
from pushforward.transforms.base import Transform


class BNAFOptions(StepOptions):
    """Options of `bnaf`."""

    hidden: Annotated[
        tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1, description="hidden units for each coordinate")
    ] = (16, 16)


def build(event_shape: Shape, context_dim: int, options: BNAFOptions) -> Flow:
    """Block neural autoregressive flow on vectors (D,)."""

    def step(i: int) -> Transform:
        return BlockAutoregressive(event_shape[0], options.hidden, context_dim)

    return vector_flow(event_shape, context_dim, options, step)


ARCHITECTURE = Architecture(
    name="bnaf",
    options=BNAFOptions,
    build=build,
    summary="one net with a triangular, positive derivative a step",
    when="When few parameters have to give a flexible density; sampling needs a numeric root a coordinate.",
    source="De Cao, Titov & Aziz, 2019",
)
