"""Neural spline flow, coupling: rational-quadratic splines conditioned by residual nets; on images in Glow's scales.

Source: Durkan, Bekasov, Murray & Papamakarios, "Neural spline flows", 2019; images: appendix B.3.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import nn

from pushforward.errors import OptionError
from pushforward.events import Shape
from pushforward.flow import Flow
from pushforward.flows.options import Architecture
from pushforward.flows.parts.scales import (
    FOR_IMAGES,
    SqueezedOptions,
    StepsOptions,
    coupling_steps,
    refuse_other_events,
    squeezed_flow,
)
from pushforward.flows.parts.vectors import SplineOptions, couplings, vector_flow
from pushforward.maps import RationalQuadraticSpline
from pushforward.nets import ResidualConvNet


class NSFOptions(SplineOptions, StepsOptions, SqueezedOptions):
    """Options of `nsf`. The published CIFAR-10 model: 3 scales of 7 steps, 96 channels, 3 blocks, 4 bins."""

    channels: Annotated[int, Field(ge=1, description="images: of the nets")] = 32
    blocks: Annotated[int, Field(ge=0, description="images: residual blocks in a net")] = 2
    net_norm: Annotated[
        Literal["batch", "instance", "none"], Field(description="images: normalisation inside the nets")
    ] = "batch"


def build(event_shape: Shape, context_dim: int, options: NSFOptions) -> Flow:
    """Neural spline flow with couplings, for events ``(D,)`` or ``(C, H, W)``."""

    def make_map() -> RationalQuadraticSpline:
        return RationalQuadraticSpline(options.bins, options.bound)

    def make_net(inputs: int, outputs: int) -> nn.Module:
        return ResidualConvNet(inputs, outputs, options.channels, options.blocks, options.net_norm, context_dim)

    refuse_other_events(event_shape, options, for_images=(*FOR_IMAGES, "blocks", "net_norm"))
    if len(event_shape) != 1:
        if options.memory_saving and options.net_norm == "batch":
            raise OptionError(
                "memory_saving runs every net twice, and batch normalisation would answer differently the second time; "
                "choose net_norm='instance' or 'none'"
            )
        return squeezed_flow(event_shape, context_dim, options, coupling_steps(options, make_map, make_net))
    return vector_flow(event_shape, context_dim, options, couplings(event_shape, context_dim, make_map, options))


ARCHITECTURE = Architecture(
    name="nsf",
    options=NSFOptions,
    build=build,
    summary="couplings of rational-quadratic splines; multi-scale with convolutional nets for images",
    when="When density and sampling both have to be one fast pass: the first choice for posteriors.",
    source="Durkan, Bekasov, Murray & Papamakarios, 2019",
)
