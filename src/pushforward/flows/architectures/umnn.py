"""Unconstrained monotonic neural network, autoregressive: maps that are integrals of positive nets.

Source: Wehenkel & Louppe, "Unconstrained Monotonic Neural Networks", 2019.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pushforward.events import Shape
from pushforward.flow import Flow
from pushforward.flows.options import Architecture
from pushforward.flows.parts.vectors import VectorOptions, autoregressive, vector_flow
from pushforward.maps import UnconstrainedMonotone
from pushforward.transforms.base import Transform


class UMNNOptions(VectorOptions):
    """Options of `umnn`."""

    transforms: Annotated[int, Field(ge=1, description="steps, each changing every coordinate")] = 2
    integrand: Annotated[
        tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1, description="widths of the net to integrate")
    ] = (32, 32)
    embedding: Annotated[int, Field(ge=1, description="numbers that describe what came before")] = 16
    nodes: Annotated[int, Field(ge=3, description="of the quadrature")] = 33


def build(event_shape: Shape, context_dim: int, options: UMNNOptions) -> Flow:
    """Unconstrained monotonic neural network, autoregressive on vectors (D,)."""

    def step(i: int) -> Transform:
        return autoregressive(
            event_shape,
            context_dim,
            UnconstrainedMonotone(options.integrand, options.embedding, options.nodes),
            options,
        )

    return vector_flow(event_shape, context_dim, options, step)


ARCHITECTURE = Architecture(
    name="umnn",
    options=UMNNOptions,
    build=build,
    summary="autoregressive integrals of positive nets",
    when="When the shape of the map must be free: no knots, no mixture; the slowest to train and to sample.",
    source="Wehenkel & Louppe, 2019",
)
