"""Bernstein polynomial flow, autoregressive.

Source: Ramasinghe, Fernando, Khan & Barnes, "Robust normalizing flows using Bernstein-type polynomials", 2021.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pushforward.events import Shape
from pushforward.flow import Flow
from pushforward.flows.options import Architecture
from pushforward.flows.parts.vectors import VectorOptions, autoregressive, vector_flow
from pushforward.maps import Bernstein
from pushforward.transforms.base import Transform


class BernsteinOptions(VectorOptions):
    """Options of `bernstein`."""

    degree: Annotated[int, Field(ge=1, description="of the polynomial")] = 12
    bound: Annotated[
        float, Field(gt=0, description="polynomials hold on [-bound, bound] and continue linearly outside")
    ] = 5.0


def build(event_shape: Shape, context_dim: int, options: BernsteinOptions) -> Flow:
    """Bernstein polynomial flow, autoregressive on vectors (D,)."""

    def step(i: int) -> Transform:
        return autoregressive(event_shape, context_dim, Bernstein(options.degree, options.bound), options)

    return vector_flow(event_shape, context_dim, options, step)


ARCHITECTURE = Architecture(
    name="bernstein",
    options=BernsteinOptions,
    build=build,
    summary="autoregressive Bernstein polynomials",
    when="When a smooth map with stable coefficients is wanted: errors in them do not grow, and few are needed.",
    source="Ramasinghe, Fernando, Khan & Barnes, 2021",
)
