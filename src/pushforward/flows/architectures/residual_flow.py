"""Residual flow: invertible residual blocks with an unbiased estimate of their log-determinant.

Source: Chen, Behrmann, Duvenaud & Jacobsen, "Residual flows for invertible generative modeling", 2019. The published
models have fully connected blocks after the last scale besides; here the last scale ends with a learned prior.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pushforward.events import Shape
from pushforward.flow import Flow
from pushforward.flows.options import Architecture
from pushforward.flows.parts.residual import ResidualOptions, log_det, residual_flow


class ResidualFlowOptions(ResidualOptions):
    """Options of `residual_flow`. The published CIFAR-10 model: 3 scales of 16 blocks, 512 channels."""

    coefficient: Annotated[
        float,
        Field(gt=0, lt=1, description="what no norm of a layer exceeds; below 1 blocks are invertible"),
    ] = 0.98


def build(event_shape: Shape, context_dim: int, options: ResidualFlowOptions) -> Flow:
    """Residual flow for events ``(D,)`` or ``(C, H, W)``."""
    return residual_flow(event_shape, context_dim, options, log_det(event_shape, options, "roulette"))


ARCHITECTURE = Architecture(
    name="residual_flow",
    options=ResidualFlowOptions,
    build=build,
    summary="residual blocks that contract; exact up to 8 dimensions, above them an unbiased estimate",
    when="Where each step should change every coordinate given all others; likelihoods of many dimensions need probes.",
    source="Chen, Behrmann, Duvenaud & Jacobsen, 2019",
)
