"""Neural spline flow, coupling: rational-quadratic splines conditioned by residual nets; on images in Glow's scales.

Source: Durkan, Bekasov, Murray & Papamakarios, "Neural spline flows", 2019; images: appendix B.3.
"""

from __future__ import annotations

from torch import nn

from pushforward.events import Shape
from pushforward.flows.options import Architecture, Recipe, Steps
from pushforward.flows.parts.couplings import CouplingOptions, couplings
from pushforward.flows.parts.fields import Bins, Blocks, Bound, Channels, MemorySaving, NetNorm
from pushforward.flows.parts.scales import ConvCouplingOptions, coupling_steps, squeezed_scales
from pushforward.flows.parts.steps import alternating
from pushforward.maps import RationalQuadraticSpline
from pushforward.nets import ResidualConvNet
from pushforward.transforms import ActivationCheckpoints, Chain, Reversible


class NSFVectorOptions(CouplingOptions):
    """Options of `nsf` on vectors."""

    bins: Bins = 8
    bound: Bound = 3.0


class NSFImageOptions(ConvCouplingOptions):
    """Options of `nsf` on images. The published CIFAR-10 model: 3 scales of 7 steps, 96 channels, 3 blocks, 4 bins."""

    channels: Channels = 32
    blocks: Blocks = 2
    net_norm: NetNorm = "batch"
    memory_saving: MemorySaving = False
    bins: Bins = 8
    bound: Bound = 3.0


def vector_steps(event_shape: Shape, context_dim: int, options: NSFVectorOptions) -> Steps:
    """Couplings of rational-quadratic splines."""

    def make_map() -> RationalQuadraticSpline:
        return RationalQuadraticSpline(options.bins, options.bound)

    return alternating(event_shape, options, couplings(event_shape, context_dim, options, make_map))


def image_steps(event_shape: Shape, context_dim: int, options: NSFImageOptions) -> Steps:
    """Couplings of splines of channels, in squeezed scales."""

    def make_map() -> RationalQuadraticSpline:
        return RationalQuadraticSpline(options.bins, options.bound)

    def make_net(inputs: int, outputs: int) -> nn.Module:
        return ResidualConvNet(inputs, outputs, options.channels, options.blocks, options.net_norm, context_dim)

    steps = coupling_steps(options, make_map, make_net)
    # Batch normalisation has no inverse by the batch's own moments.
    saving = ActivationCheckpoints if options.net_norm == "batch" else Reversible
    join = saving if options.memory_saving else Chain
    scales = squeezed_scales(event_shape, context_dim, options.scales, steps, join=join)
    return Steps([scales], options.base)


ARCHITECTURE = Architecture(
    name="nsf",
    summary="couplings of rational-quadratic splines; multi-scale with convolutional nets for images",
    when="When density and sampling must each take one fast pass: the first choice for posteriors.",
    source="Durkan, Bekasov, Murray & Papamakarios, 2019",
    vectors=Recipe(NSFVectorOptions, vector_steps),
    images=Recipe(NSFImageOptions, image_steps),
)
