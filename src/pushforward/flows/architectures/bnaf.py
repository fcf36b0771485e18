"""Block neural autoregressive flow.

Source: De Cao, Titov & Aziz, "Block Neural Autoregressive Flow", 2019.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pushforward.events import Shape
from pushforward.flows.options import Architecture, Recipe, Steps
from pushforward.flows.parts.fields import Hidden
from pushforward.flows.parts.steps import StepOptions, alternating
from pushforward.transforms import BlockAutoregressive, Transform


class BNAFOptions(StepOptions):
    """Options of `bnaf`."""

    hidden: Annotated[Hidden, Field(description="hidden units for each coordinate")] = (16, 16)


def steps(event_shape: Shape, context_dim: int, options: BNAFOptions) -> Steps:
    """Block-triangular nets with positive diagonal blocks."""

    def step(i: int) -> Transform:
        return BlockAutoregressive(event_shape[0], options.hidden, context_dim)

    return alternating(event_shape, options, step)


ARCHITECTURE = Architecture(
    name="bnaf",
    summary="steps that are nets with a triangular Jacobian, positive on the diagonal",
    when="When few parameters must give a flexible density; sampling needs a numeric root per coordinate.",
    source="De Cao, Titov & Aziz, 2019",
    vectors=Recipe(BNAFOptions, steps),
)
