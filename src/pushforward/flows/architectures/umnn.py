"""Unconstrained monotonic neural network, autoregressive: maps that are integrals of positive nets.

Source: Wehenkel & Louppe, "Unconstrained Monotonic Neural Networks", 2019.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pushforward.events import Shape
from pushforward.flows.options import Architecture, Recipe, Steps
from pushforward.flows.parts.autoregressive import autoregressive_steps
from pushforward.flows.parts.fields import Hidden, Transforms
from pushforward.flows.parts.steps import NetOptions
from pushforward.maps import UnconstrainedMonotone


class UMNNOptions(NetOptions):
    """Options of `umnn`."""

    transforms: Transforms = 2
    integrand: Annotated[Hidden, Field(description="widths of the integrated net")] = (32, 32)
    embedding: Annotated[int, Field(ge=1, description="size of the embedding of the preceding coordinates")] = 16
    nodes: Annotated[int, Field(ge=3, description="nodes of the quadrature")] = 33


def steps(event_shape: Shape, context_dim: int, options: UMNNOptions) -> Steps:
    """Integrals of positive nets, autoregressive."""
    return autoregressive_steps(
        event_shape,
        context_dim,
        options,
        lambda: UnconstrainedMonotone(options.integrand, options.embedding, options.nodes),
    )


ARCHITECTURE = Architecture(
    name="umnn",
    summary="autoregressive integrals of positive nets",
    when="When the shape of the map must be free, without knots or mixtures; the slowest to train and to sample.",
    source="Wehenkel & Louppe, 2019",
    vectors=Recipe(UMNNOptions, steps),
)
