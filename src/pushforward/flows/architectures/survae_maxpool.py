"""SurVAE flow with max pooling: Glow's steps; between scales the maxima of 2 x 2 pixels go on, not half the channels.

Source: Nielsen, Jaini, Hoogeboom, Winther & Welling, "SurVAE flows: Surjections to bridge the gap between VAEs and
flows", 2020, section 5.3, and the authors' code, where no difference from a maximum depends on it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import nn

from pushforward.bases import build_base
from pushforward.errors import ShapeError
from pushforward.events import Shape
from pushforward.flow import Flow
from pushforward.flows.data_layers import data_layers
from pushforward.flows.options import Architecture, refuse_unused
from pushforward.flows.parts.scales import SqueezedOptions, coupling_steps, scale_count, top_prior
from pushforward.flows.parts.vectors import Linear, SplineOptions
from pushforward.maps import Affine, Map, RationalQuadraticSpline, SoftClampScale
from pushforward.nets import ActNormConvNet
from pushforward.nets.act_norm_conv import ZeroConv2d
from pushforward.transforms import HalfLine, MaxPool2d, Reversible, Squeeze
from pushforward.transforms.base import Chain, Transform
from pushforward.transforms.conditional import PositiveLaw

# What no log-scale of an affine coupling exceeds. Differences are drawn independently of each other, so that couplings
# on the way back see images of which they have learned nothing: with the usual 5 they make pixels of those that lie
# so far beyond the range that its sigmoid has no digits left; with 1 the densities of small images were no lower.
_LIMIT = 1.0


class SurVAEMaxPoolOptions(SplineOptions, SqueezedOptions):
    """Options of `survae_maxpool`. The published CIFAR-10 model: 2 scales of 12 steps, half-normal differences."""

    transforms: Annotated[int, Field(ge=1, description="steps of every scale, with a coupling each")] = 8
    linear: Annotated[
        Linear,
        Field(description="before a coupling, a learned matrix (lu, dense), or the order shuffled, reversed, or kept"),
    ] = "lu"
    map: Annotated[Literal["affine", "spline"], Field(description="what the couplings apply")] = "affine"
    scales: Annotated[
        int | None,
        Field(
            ge=2,
            le=16,
            description="the first by a squeeze, the others by pooling; None: down to 4, or odd sides, at least 2",
        ),
    ] = None
    rest: Annotated[PositiveLaw, Field(description="law of the differences of pixels from the maximum of four")] = (
        "half-normal"
    )
    given_maximum: Annotated[
        bool, Field(description="a convolution of the maxima sets the scales of the differences; else one a channel")
    ] = True


def build(event_shape: Shape, context_dim: int, options: SurVAEMaxPoolOptions) -> Flow:
    """A flow with max pooling for images ``(C, H, W)`` whose sides are divisible by 4."""
    if len(event_shape) != 3:
        raise ShapeError(f"images, event_shape (channels, height, width), expected, got {tuple(event_shape)}")
    _, height, width = event_shape
    if height % 4 or width % 4:
        raise ShapeError(
            f"a squeeze and one max pooling at the least need sides divisible by 4, got {height} x {width}; "
            "pad, crop or resize the images"
        )
    if options.map == "affine":
        refuse_unused(options, ("bins", "bound"), "it is for couplings of splines, and map is 'affine'")
    count = scale_count(event_shape, options.scales or max(2, scale_count(event_shape, None)))
    together = Reversible if options.memory_saving else Chain

    def make_map() -> Map:
        if options.map == "spline":
            return RationalQuadraticSpline(options.bins, options.bound)
        return Affine(SoftClampScale(_LIMIT))

    def make_net(inputs: int, outputs: int) -> nn.Module:
        return ActNormConvNet(inputs, outputs, options.channels, context_dim)

    steps = coupling_steps(options, make_map, make_net)
    layers: list[Transform] = [*data_layers(event_shape, context_dim, options), Squeeze(event_shape)]
    for i in range(count):
        if i:
            layers.append(_pooling(layers[-1].latent_shape, context_dim, options))
        layers.append(together(steps(layers[-1].latent_shape)))
    chain = Chain([*layers, top_prior(layers[-1].latent_shape, context_dim)])
    return Flow(build_base(options.base, chain.latent_shape, context_dim), chain)


def _pooling(event_shape: Shape, context_dim: int, options: SurVAEMaxPoolOptions) -> MaxPool2d:
    channels, height, width = event_shape
    net = ZeroConv2d(channels, 3 * channels, context_dim) if options.given_maximum else None
    return MaxPool2d(event_shape, HalfLine((3 * channels, height // 2, width // 2), options.rest, net))


ARCHITECTURE = Architecture(
    name="survae_maxpool",
    options=SurVAEMaxPoolOptions,
    build=build,
    summary="affine or spline couplings, and max pooling between scales, for images; the likelihood stays exact",
    when="For images where a small latent is wanted: a quarter of the values stay at each pooling, the rest is drawn.",
    source="Nielsen, Jaini, Hoogeboom, Winther & Welling, 2020",
)
