"""Neural spline flow, coupling: rational-quadratic splines conditioned by residual nets.

Source: Durkan, Bekasov, Murray & Papamakarios, "Neural spline flows", 2019.
"""

from __future__ import annotations

from pushforward.flow import Flow
from pushforward.flows.options import Architecture
from pushforward.flows.vectors import CouplingOptions, SplineOptions, couplings, vector_flow
from pushforward.maps import RationalQuadraticSpline
from pushforward.transform import Shape


class NSFOptions(SplineOptions, CouplingOptions):
    """Options of `nsf`."""


def build(event_shape: Shape, context_dim: int, options: NSFOptions) -> Flow:
    """Neural spline flow with couplings, on vectors (D,)."""
    step = couplings(event_shape, context_dim, lambda: RationalQuadraticSpline(options.bins, options.bound), options)
    return vector_flow(event_shape, context_dim, options, step)


ARCHITECTURE = Architecture(
    name="nsf",
    options=NSFOptions,
    build=build,
    summary="couplings of rational-quadratic splines",
    when="When density and sampling both have to be one fast pass: the first choice for posteriors.",
    source="Durkan, Bekasov, Murray & Papamakarios, 2019",
)
