"""Sum-of-squares polynomial flow, autoregressive.

Source: Jaini, Selby & Yu, "Sum-of-Squares Polynomial Flow", 2019.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pushforward.events import Shape
from pushforward.flow import Flow
from pushforward.flows.options import Architecture
from pushforward.flows.parts.vectors import VectorOptions, autoregressive, vector_flow
from pushforward.maps import SumOfSquares
from pushforward.transforms.base import Transform


class SOSOptions(VectorOptions):
    """Options of `sos`."""

    polynomials: Annotated[int, Field(ge=1, description="squares in a sum")] = 3
    degree: Annotated[int, Field(ge=1, description="of each polynomial that is squared")] = 3
    bound: Annotated[
        float, Field(gt=0, description="polynomials hold on [-bound, bound] and continue linearly outside")
    ] = 5.0


def build(event_shape: Shape, context_dim: int, options: SOSOptions) -> Flow:
    """Sum-of-squares polynomial flow, autoregressive on vectors (D,)."""

    def step(i: int) -> Transform:
        return autoregressive(
            event_shape, context_dim, SumOfSquares(options.polynomials, options.degree, options.bound), options
        )

    return vector_flow(event_shape, context_dim, options, step)


ARCHITECTURE = Architecture(
    name="sos",
    options=SOSOptions,
    build=build,
    summary="autoregressive integrals of sums of squared polynomials",
    when="When the conditional densities are smooth, with few bumps; a polynomial is exact where the data are one.",
    source="Jaini, Selby & Yu, 2019",
)
