"""Cubic-spline flow: couplings of monotone cubic splines conditioned by residual nets.

Source: Durkan, Bekasov, Murray & Papamakarios, "Cubic-Spline Flows", 2019.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pushforward.events import Shape
from pushforward.flow import Flow
from pushforward.flows.options import Architecture
from pushforward.flows.parts.vectors import CouplingOptions, SplineOptions, couplings, vector_flow
from pushforward.maps import CubicSpline


class CubicNSFOptions(SplineOptions, CouplingOptions):
    """Options of `cubic_nsf`."""

    bound: Annotated[
        float, Field(gt=0, description="a spline bends on [-bound, bound] and goes on straight from its ends outside")
    ] = 3.0


def build(event_shape: Shape, context_dim: int, options: CubicNSFOptions) -> Flow:
    """Cubic-spline flow, on vectors (D,)."""
    step = couplings(event_shape, context_dim, lambda: CubicSpline(options.bins, options.bound), options)
    return vector_flow(event_shape, context_dim, options, step)


ARCHITECTURE = Architecture(
    name="cubic_nsf",
    options=CubicNSFOptions,
    build=build,
    summary="couplings of monotone cubic splines",
    when="To compare with `nsf`, its successor: the same flow with cubic pieces, whose slopes are continuous too.",
    source="Durkan, Bekasov, Murray & Papamakarios, 2019",
)
