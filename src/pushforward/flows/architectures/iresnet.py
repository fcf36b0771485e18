"""i-ResNet: residual blocks that are invertible because their nets contract, with a truncated log-determinant.

Source: Behrmann, Grathwohl, Chen, Duvenaud & Jacobsen, "Invertible residual networks", 2019.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pushforward.events import Shape
from pushforward.flow import Flow
from pushforward.flows.options import Architecture
from pushforward.flows.parts.residual import ResidualOptions, log_det, residual_flow
from pushforward.nets.lipschitz import ContractiveActivation


class IResNetOptions(ResidualOptions):
    """Options of `iresnet`. The published CIFAR-10 model: 3 scales of 16 blocks, 512 channels."""

    activation: Annotated[
        ContractiveActivation, Field(description="of the nets: elu, or lipswish, which is smooth")
    ] = "elu"


def build(event_shape: Shape, context_dim: int, options: IResNetOptions) -> Flow:
    """i-ResNet for events ``(D,)`` or ``(C, H, W)``."""
    return residual_flow(event_shape, context_dim, options, log_det(event_shape, options, "truncated"))


ARCHITECTURE = Architecture(
    name="iresnet",
    options=IResNetOptions,
    build=build,
    summary="residual blocks that contract; exact up to 8 dimensions, above them a biased series",
    when="To compare with the paper: above 8 dimensions its likelihoods are biased, and residual_flow's are not.",
    source="Behrmann, Grathwohl, Chen, Duvenaud & Jacobsen, 2019",
)
