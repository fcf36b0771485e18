"""Cubic-spline flow: couplings of monotone cubic splines conditioned by residual nets.

Source: Durkan, Bekasov, Murray & Papamakarios, "Cubic-Spline Flows", 2019.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pushforward.events import Shape
from pushforward.flows.options import Architecture, Recipe, Steps
from pushforward.flows.parts.couplings import CouplingOptions, couplings
from pushforward.flows.parts.fields import Bins, Bound
from pushforward.flows.parts.steps import alternating
from pushforward.maps import CubicSpline


class CubicNSFOptions(CouplingOptions):
    """Options of `cubic_nsf`."""

    bins: Bins = 8
    bound: Annotated[
        Bound, Field(description="interval [-bound, bound] of a spline, which continues linearly outside")
    ] = 3.0


def steps(event_shape: Shape, context_dim: int, options: CubicNSFOptions) -> Steps:
    """Couplings of cubic splines."""
    step = couplings(event_shape, context_dim, options, lambda: CubicSpline(options.bins, options.bound))
    return alternating(event_shape, options, step)


ARCHITECTURE = Architecture(
    name="cubic_nsf",
    summary="couplings of monotone cubic splines",
    when="To compare with its successor `nsf`: the same flow with cubic pieces, whose slopes are continuous too.",
    source="Durkan, Bekasov, Murray & Papamakarios, 2019",
    vectors=Recipe(CubicNSFOptions, steps),
)
