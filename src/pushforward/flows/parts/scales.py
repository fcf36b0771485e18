"""Multi-scale flows on images: the number of scales, and Glow's arrangement of steps in scales.

Source of the arrangement: Kingma & Dhariwal, "Glow", 2018, section 3 and figure 2b.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, TypeAlias

from pydantic import Field
from torch import nn

from pushforward.errors import ShapeError
from pushforward.events import Shape
from pushforward.flows.data_layers import FlowOptions
from pushforward.flows.parts.fields import Channels, LinearBefore, Scales, Transforms
from pushforward.flows.parts.mixing import linear_layers
from pushforward.maps import Affine, Map, SoftClampScale
from pushforward.nets import MLP, ActNormConvNet
from pushforward.nets.act_norm_conv import ZeroConv2d
from pushforward.transforms import ActNorm, Channelwise, Coupling, Elementwise, MultiScale, Squeeze
from pushforward.transforms.base import Chain, Transform

_MIN_SIDE = 4
_PRIOR_UNITS = 64


class ConvOptions(FlowOptions):
    """Options of a flow on images in squeezed scales whose nets are convolutional."""

    channels: Channels = 64
    scales: Scales = None


class ConvCouplingOptions(ConvOptions):
    """Options of such a flow whose steps have a linear layer and a coupling each."""

    transforms: Annotated[Transforms, Field(description="steps of every scale, with a coupling each")] = 8
    linear: LinearBefore = "lu"


# The steps of one scale, given the shape of its events.
MakeSteps: TypeAlias = Callable[[Shape], list[Transform]]
# One transform of the steps of a scale.
JoinSteps: TypeAlias = Callable[[Sequence[Transform]], Transform]
# A factory of nets with given numbers of input and output channels.
MakeNet: TypeAlias = Callable[[int, int], nn.Module]


def squeezed_scales(
    event_shape: Shape,
    context_dim: int,
    scales: int | None,
    make_steps: MakeSteps,
    factor_out_steps: int = 1,
    join: JoinSteps = Chain,
) -> MultiScale:
    """Each scale: squeeze, steps, learned prior of the factored-out half; the last scale has a prior of everything.

    make_steps: called with the event shape after the squeeze, ``(4C, H/2, W/2)``. factor_out_steps: number of pieces,
    of at least one channel, in which a scale factors out its half; steps on the remaining channels precede each. join:
    the transform of a scale's steps, such as `Reversible`.
    """
    count, parts, shape = scale_count(event_shape, scales), [], event_shape
    for i in range(count):
        before: list[Transform] = [Squeeze(shape)]
        shape = before[0].latent_shape
        for remaining in remaining_channels(shape[0], factor_out_steps) if i < count - 1 else ():
            parts.append(Chain([*before, join(make_steps(shape)), split_prior(shape, context_dim, remaining)]))
            before, shape = [], (remaining, *shape[1:])
    parts.append(Chain([*before, join(make_steps(shape)), top_prior(shape, context_dim)]))
    return MultiScale(parts)


def remaining_channels(channels: int, factor_out_steps: int) -> list[int]:
    """Channels that remain after each of the steps in which half are factored out: 12 in two steps, 9 and 6."""
    half = channels - channels // 2
    pieces = min(factor_out_steps, half)
    return [channels - half * (i + 1) // pieces for i in range(pieces)]


def coupling_steps(
    options: ConvCouplingOptions,
    make_map: Callable[[], Map],
    make_net: MakeNet,
    couplings: int = 1,
    wrap: Callable[[Transform], Transform] = lambda inner: inner,
) -> MakeSteps:
    """Steps of activation normalisation, a linear layer across channels, and a coupling of one half of these.

    couplings: number of couplings per step. wrap: a function from a step's couplings to the transform that replaces
    them.
    """

    def coupling(event_shape: Shape, i: int) -> Transform:
        partition, map = Channelwise(event_shape, keep_first=i % 2 == 0), make_map()
        return Coupling(partition, map, make_net(*partition.net_sizes(map)))

    def steps(event_shape: Shape) -> list[Transform]:
        transforms: list[Transform] = []
        for i in range(options.transforms):
            # Mixed or permuted channels need not take turns.
            first = couplings * i if options.linear == "none" else 0
            inner = [coupling(event_shape, first + j) for j in range(couplings)]
            linear = linear_layers(event_shape, options.linear, "orthogonal")
            transforms += [ActNorm(event_shape), *linear, wrap(inner[0] if couplings == 1 else Chain(inner))]
        return transforms

    return steps


def act_norm_nets(options: ConvOptions, context_dim: int) -> MakeNet:
    """A factory of Glow's nets for couplings: convolutions with activation normalisation."""
    return lambda inputs, outputs: ActNormConvNet(inputs, outputs, options.channels, context_dim)


def split_prior(event_shape: Shape, context_dim: int = 0, kept: int | None = None) -> Coupling:
    """A learned prior of the last channels given the first ones, as a step before the last ones are factored out.

    It predicts their mean and scale. kept: number of first channels; None: half. A lower temperature shrinks the
    deviations from that mean.
    """
    partition, map = Channelwise(event_shape, keep_first=True, first=kept), Affine(SoftClampScale())
    net = ZeroConv2d(*partition.net_sizes(map), context_dim)
    return Coupling(partition, map, net)


def top_prior(event_shape: Shape, context_dim: int = 0) -> Elementwise:
    """Mean and scale of each channel of the last scale, given the context where there is one: Glow's learned prior."""
    map, channels = Affine(SoftClampScale()), event_shape[0]
    net = MLP(context_dim, map.n_params * channels, (_PRIOR_UNITS,)) if context_dim else None
    return Elementwise(map, event_shape, net, shared=(channels, *(1,) * (len(event_shape) - 1)))


def scale_count(event_shape: Shape, wanted: int | None, squeezed: bool = True) -> int:
    """Number of scales: ``wanted``, or as many as halve both sides evenly while they are above 4, at least one.

    squeezed: every scale halves the sides; otherwise all but the first do (28 x 28 has 2 and 3). Raises ShapeError
    where the sides cannot be halved as often as that.
    """
    _, height, width = event_shape
    first = 0 if squeezed else 1
    if wanted is None:
        halved = 0
        while min(height, width) >> halved > _MIN_SIDE and not (height >> halved) % 2 and not (width >> halved) % 2:
            halved += 1
        wanted = max(1, halved + first)
    factor = 2 ** (wanted - first)
    if height % factor or width % factor:
        scales = "1 scale halves" if wanted == 1 else f"{wanted} scales halve"
        times = "once" if wanted - first == 1 else f"{wanted - first} times"
        raise ShapeError(
            f"{scales} the image {times}, which needs sides divisible by {factor}, "
            f"got {height} x {width}; {'choose fewer scales, or ' if wanted > 1 else ''}resize or crop the images"
        )
    return wanted
