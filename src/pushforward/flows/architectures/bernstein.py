"""Bernstein polynomial flow, autoregressive.

Source: Ramasinghe, Fernando, Khan & Barnes, "Robust normalizing flows using Bernstein-type polynomials", 2021.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pushforward.events import Shape
from pushforward.flows.options import Architecture, Recipe, Steps
from pushforward.flows.parts.autoregressive import autoregressive_steps
from pushforward.flows.parts.fields import PolynomialBound
from pushforward.flows.parts.steps import NetOptions
from pushforward.maps import Bernstein, Map


class BernsteinOptions(NetOptions):
    """Options of `bernstein`."""

    degree: Annotated[int, Field(ge=1, description="degree of the polynomial")] = 12
    bound: PolynomialBound = 5.0


def steps(event_shape: Shape, context_dim: int, options: BernsteinOptions) -> Steps:
    """Bernstein polynomials, autoregressive."""

    def make_map() -> Map:
        return Bernstein(options.degree, options.bound)

    return autoregressive_steps(event_shape, context_dim, options, make_map)


ARCHITECTURE = Architecture(
    name="bernstein",
    summary="autoregressive Bernstein polynomials",
    when="When a smooth map with few coefficients is wanted; errors of the coefficients do not grow.",
    source="Ramasinghe, Fernando, Khan & Barnes, 2021",
    vectors=Recipe(BernsteinOptions, steps),
)
