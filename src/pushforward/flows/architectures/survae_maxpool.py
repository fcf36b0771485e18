"""SurVAE flow with max pooling: Glow's steps, and maxima of 2 x 2 pixels between scales in place of factored-out
channels.

Source: Nielsen, Jaini, Hoogeboom, Winther & Welling, "SurVAE flows: Surjections to bridge the gap between VAEs and
flows", 2020, section 5.3, and the authors' code, where no difference from a maximum depends on it.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pushforward.errors import ShapeError
from pushforward.events import Shape
from pushforward.flows.options import Architecture, Recipe, Steps
from pushforward.flows.parts.fields import Bins, Bound, MapName, MemorySaving, Scales
from pushforward.flows.parts.maps import affine_or_spline
from pushforward.flows.parts.scales import ConvCouplingOptions, act_norm_nets, coupling_steps, scale_count, top_prior
from pushforward.nets.act_norm_conv import ZeroConv2d
from pushforward.transforms import Chain, HalfLine, MaxPool2d, Reversible, Squeeze, Transform
from pushforward.transforms.conditional import PositiveLaw

# Limit of every log-scale of an affine coupling. Differences are drawn independently of each other, so that couplings
# get images unlike the training data when sampling: with the usual 5 the pixels lie so far outside the range that its
# sigmoid saturates; with 1 the densities of small images were no lower.
_LIMIT = 1.0


class SurVAEMaxPoolOptions(ConvCouplingOptions):
    """Options of `survae_maxpool`. The published CIFAR-10 model: 2 scales of 12 steps, half-normal differences."""

    map: MapName = "affine"
    bins: Bins = 8
    bound: Bound = 3.0
    scales: Annotated[
        Scales,
        Field(
            ge=2,
            description="scales, the first by a squeeze, others by pooling; None: until sides are 4 or odd, at least 2",
        ),
    ] = None
    rest: Annotated[
        PositiveLaw, Field(description="distribution of the differences of pixels from the maximum of four")
    ] = "half-normal"
    given_maximum: Annotated[
        bool,
        Field(description="compute the scales of the differences by a convolution of the maxima; else one per channel"),
    ] = True
    memory_saving: MemorySaving = False


def steps(event_shape: Shape, context_dim: int, options: SurVAEMaxPoolOptions) -> Steps:
    """Glow's steps in scales with max pooling between them, of images whose sides are divisible by 4."""
    _, height, width = event_shape
    if height % 4 or width % 4:
        raise ShapeError(
            f"a squeeze and at least one max pooling need sides divisible by 4, got {height} x {width}; "
            "pad, crop or resize the images"
        )
    count = scale_count(event_shape, options.scales or max(2, scale_count(event_shape, None)))
    join = Reversible if options.memory_saving else Chain
    reason = f"it is for couplings of splines, and map is {options.map!r}"
    make_map = affine_or_spline(options, options.map == "spline", options.bins, options.bound, _LIMIT, reason)

    make_steps = coupling_steps(options, make_map, act_norm_nets(options, context_dim))
    transforms: list[Transform] = [Squeeze(event_shape)]
    for i in range(count):
        if i:
            transforms.append(_pooling(transforms[-1].latent_shape, context_dim, options))
        transforms.append(join(make_steps(transforms[-1].latent_shape)))
    return Steps([*transforms, top_prior(transforms[-1].latent_shape, context_dim)], options.base)


def _pooling(event_shape: Shape, context_dim: int, options: SurVAEMaxPoolOptions) -> MaxPool2d:
    channels, height, width = event_shape
    net = ZeroConv2d(channels, 3 * channels, context_dim) if options.given_maximum else None
    return MaxPool2d(event_shape, HalfLine((3 * channels, height // 2, width // 2), options.rest, net))


ARCHITECTURE = Architecture(
    name="survae_maxpool",
    summary="affine or spline couplings, and max pooling between scales, for images; the likelihood stays exact",
    when="For images with a small latent: each pooling keeps a quarter of the values, and sampling draws the others.",
    source="Nielsen, Jaini, Hoogeboom, Winther & Welling, 2020",
    images=Recipe(SurVAEMaxPoolOptions, steps),
)
