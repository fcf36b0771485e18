"""Sum-of-squares polynomial flow, autoregressive.

Source: Jaini, Selby & Yu, "Sum-of-Squares Polynomial Flow", 2019.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pushforward.events import Shape
from pushforward.flows.options import Architecture, Recipe, Steps
from pushforward.flows.parts.autoregressive import autoregressive_steps
from pushforward.flows.parts.fields import PolynomialBound
from pushforward.flows.parts.steps import NetOptions
from pushforward.maps import SumOfSquares


class SOSOptions(NetOptions):
    """Options of `sos`."""

    polynomials: Annotated[int, Field(ge=1, description="squared polynomials in a sum")] = 3
    degree: Annotated[int, Field(ge=1, description="degree of each squared polynomial")] = 3
    bound: PolynomialBound = 5.0


def steps(event_shape: Shape, context_dim: int, options: SOSOptions) -> Steps:
    """Sum-of-squares polynomials, autoregressive."""
    return autoregressive_steps(
        event_shape, context_dim, options, lambda: SumOfSquares(options.polynomials, options.degree, options.bound)
    )


ARCHITECTURE = Architecture(
    name="sos",
    summary="autoregressive integrals of sums of squared polynomials",
    when="When conditional densities are smooth with few modes; exact where a polynomial maps the data to the base.",
    source="Jaini, Selby & Yu, 2019",
    vectors=Recipe(SOSOptions, steps),
)
