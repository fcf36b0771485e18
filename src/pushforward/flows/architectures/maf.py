"""Masked autoregressive flow: affine maps conditioned by a residual MADE.

Source: Papamakarios, Pavlakou & Murray, "Masked Autoregressive Flow for Density Estimation", 2017.
"""

from __future__ import annotations

from pushforward.events import Shape
from pushforward.flow import Flow
from pushforward.flows.options import Architecture
from pushforward.flows.parts.vectors import AffineOptions, affine_map, autoregressive, vector_flow
from pushforward.transforms.base import Transform


class MAFOptions(AffineOptions):
    """Options of `maf`."""


def build(event_shape: Shape, context_dim: int, options: MAFOptions) -> Flow:
    """Masked autoregressive flow on vectors (D,)."""

    def step(i: int) -> Transform:
        return autoregressive(event_shape, context_dim, affine_map(event_shape, options), options)

    return vector_flow(event_shape, context_dim, options, step)


ARCHITECTURE = Architecture(
    name="maf",
    options=MAFOptions,
    build=build,
    summary="autoregressive shifts and scales",
    when="When a small and fast density will do: each coordinate is a Gaussian given those before, bent by depth.",
    source="Papamakarios, Pavlakou & Murray, 2017",
)
