"""What the flows on images share: how many scales there are, and Glow's arrangement of steps in scales.

Source of the arrangement: Kingma & Dhariwal, "Glow", 2018, section 3 and figure 2b.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeAlias

from pydantic import Field

from pushforward.bases import RealBase, build_base
from pushforward.errors import ShapeError
from pushforward.flow import Flow
from pushforward.flows.options import Options
from pushforward.flows.preprocessing import DataOptions, data_layers
from pushforward.maps import Affine, SoftClampScale
from pushforward.nets import MLP
from pushforward.nets.act_norm_conv import ZeroConv2d
from pushforward.transform import Chain, Shape, Transform
from pushforward.transforms import Channelwise, Coupling, Elementwise, MultiScale, Squeeze

_MIN_SIDE = 4
_PRIOR_UNITS = 64


class SqueezedOptions(Options):
    """Options of a flow on images each of whose scales begins with a squeeze."""

    channels: Annotated[int, Field(ge=1, description="images: of the nets")] = 64
    scales: Annotated[
        int | None,
        Field(
            ge=1,
            le=16,
            description="images: scales, each at half the sides of the one before; None: down to 4, or to odd sides",
        ),
    ] = None


# The steps of one scale, given the shape of its events and the number of the scale.
Steps: TypeAlias = Callable[[Shape, int], list[Transform]]


def squeezed_flow(
    event_shape: Shape, context_dim: int, data: DataOptions, base: RealBase, scales: int | None, steps: Steps
) -> Flow:
    """Pre-processing, then `squeezed_scales`, on images ``(C, H, W)``."""
    layers = data_layers(event_shape, context_dim, data)
    chain = Chain([*layers, squeezed_scales(event_shape, context_dim, scales, steps)])
    return Flow(build_base(base, chain.latent_shape, context_dim), chain)


def squeezed_scales(event_shape: Shape, context_dim: int, scales: int | None, steps: Steps) -> MultiScale:
    """Per scale a squeeze, the steps, and a learned prior of what leaves: of half the channels, at the end of all.

    scales: None for as many as `scale_count` finds. steps: called with the event shape after the squeeze, ``(4C, H/2,
    W/2)``, and the number of the scale, from 0.
    """
    count, found, shape = scale_count(event_shape, scales), [], event_shape
    for i in range(count):
        squeeze = Squeeze(shape)
        inner = squeeze.latent_shape
        prior = top_prior(inner, context_dim) if i == count - 1 else split_prior(inner, context_dim)
        found.append(Chain([squeeze, *steps(inner, i), prior]))
        shape = (inner[0] // 2, *inner[1:])
    return MultiScale(found)


def split_prior(event_shape: Shape, context_dim: int = 0) -> Coupling:
    """The mean and the scale of the second half of the channels given the first, as a step before that half leaves.

    At a lower temperature the deviations from that mean shrink and the mean stays.
    """
    partition, map = Channelwise(event_shape, keep_first=True), Affine(SoftClampScale())
    net = ZeroConv2d(partition.kept_shape[0], map.n_params * partition.changed_shape[0], context_dim)
    return Coupling(partition, map, net)


def top_prior(event_shape: Shape, context_dim: int = 0) -> Elementwise:
    """The mean and the scale of each channel of what is left at the last scale, given the context where there is one:
    Glow's learned prior, of each class where the context is of labels."""
    map, channels = Affine(SoftClampScale()), event_shape[0]
    net = MLP(context_dim, map.n_params * channels, (_PRIOR_UNITS,)) if context_dim else None
    return Elementwise(map, event_shape, net, shared=(channels, *(1,) * (len(event_shape) - 1)))


def scale_count(event_shape: Shape, wanted: int | None, squeezed: bool = True) -> int:
    """How many scales: as asked for, or as many as halve both sides evenly while they are above 4, one at the least.

    squeezed: every scale halves the sides; otherwise all but the first do (28 x 28 has 2 and 3). Raises ShapeError
    where the sides cannot be halved as often as that.
    """
    _, height, width = event_shape
    count = 0 if squeezed else 1
    while wanted is None and min(height, width) > _MIN_SIDE and not (height % 2 or width % 2):
        height, width, count = height // 2, width // 2, count + 1
    count = max(count, 1) if wanted is None else wanted
    _, height, width = event_shape
    halvings = count if squeezed else count - 1
    factor = 2**halvings
    if height % factor or width % factor:
        scales, times = ("1 scale halves", "once") if count == 1 else (f"{count} scales halve", f"{halvings} times")
        raise ShapeError(
            f"{scales} the image {times}, which needs sides divisible by {factor}, "
            f"got {height} x {width}; choose fewer scales, or resize or crop the images"
        )
    return count
