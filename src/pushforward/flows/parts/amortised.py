"""Steps with parameters of their own, which a net of the context shifts: planar, radial and Sylvester."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pushforward.flows.parts.fields import Hidden, Linear
from pushforward.flows.parts.steps import NetOptions
from pushforward.transforms.base import Direction, Inverse, Transform


class AmortisedOptions(NetOptions):
    """Options of a flow on vectors whose steps have parameters of their own, shifted by a net of the context."""

    linear: Linear = "none"
    hidden: Annotated[
        Hidden, Field(description="with a context: widths of the net that shifts a step's parameters")
    ] = (128, 128)
    direction: Annotated[
        Direction,
        Field(description="the direction that has a formula; the other one needs more work, or numeric roots"),
    ] = "to_latent"


def directed(step: Transform, direction: Direction) -> Transform:
    """``step``, or its inverse, such that the cheap pass, its `to_latent`, is in ``direction``."""
    return step if direction == "to_latent" else Inverse(step)
