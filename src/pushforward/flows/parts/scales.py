"""What the flows on images share: how many scales there are, and Glow's arrangement of steps in scales.

Source of the arrangement: Kingma & Dhariwal, "Glow", 2018, section 3 and figure 2b.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, Protocol, TypeAlias

from pydantic import Field
from torch import nn

from pushforward.bases import RealBase, build_base
from pushforward.errors import ShapeError
from pushforward.events import Shape
from pushforward.flow import Flow
from pushforward.flows.data_layers import DataOptions, data_layers
from pushforward.flows.options import Options, refuse_unused
from pushforward.flows.parts.vectors import CouplingOptions, Linear, PartitionName, linear_layers
from pushforward.maps import Affine, Map, SoftClampScale
from pushforward.nets import MLP
from pushforward.nets.act_norm_conv import ZeroConv2d
from pushforward.objectives import MakeObjective
from pushforward.transforms import ActNorm, Channelwise, Coupling, Elementwise, MultiScale, Reversible, Squeeze
from pushforward.transforms.base import Chain, Transform

_MIN_SIDE = 4
_PRIOR_UNITS = 64


class MultiScaleOptions(DataOptions):
    """Options of a flow on images each of whose scales begins with a squeeze."""

    scales: Annotated[
        int | None,
        Field(ge=1, le=16, description="images: scales, each half as wide and high; None: down to 4, or to odd sides"),
    ] = None
    base: Annotated[RealBase, Field(description="the latent's distribution")] = "normal"


class ScalesOptions(MultiScaleOptions):
    """Options of a flow on images in squeezed scales whose nets are convolutional ones of so many channels."""

    channels: Annotated[int, Field(ge=1, description="images: of the nets")] = 64


class SqueezedOptions(ScalesOptions):
    """Options of a flow on images in squeezed scales whose steps have an inverse that is as fast and as exact."""

    memory_saving: Annotated[
        bool, Field(description="images: keep no activations for the gradients; one more pass either way instead")
    ] = False


class StepsOptions(ScalesOptions, CouplingOptions):
    """Options of a flow of couplings on vectors, or on images in squeezed scales."""

    transforms: Annotated[int, Field(ge=1, description="steps with a coupling each; images: of every scale")] = 8
    linear: Annotated[
        Linear,
        Field(description="before a coupling, a learned matrix (lu, dense), or the order shuffled, reversed, or kept"),
    ] = "lu"
    hidden: Annotated[
        tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1, description="vectors: widths of a net")
    ] = (128, 128)
    activation: Annotated[
        Literal["relu", "tanh", "silu", "gelu", "elu"], Field(description="vectors: of the nets' hidden layers")
    ] = "relu"
    dropout: Annotated[float, Field(ge=0, lt=1, description="vectors: share of hidden units dropped in training")] = 0.0
    partition: Annotated[
        PartitionName,
        Field(description="vectors: which coordinates a coupling changes; the next one changes the others"),
    ] = "random"


FOR_VECTORS = ("hidden", "activation", "dropout", "partition")
FOR_IMAGES = ("channels", "scales", "memory_saving")


def refuse_other_events(
    event_shape: Shape,
    options: Options,
    for_vectors: tuple[str, ...] = FOR_VECTORS,
    for_images: tuple[str, ...] = FOR_IMAGES,
) -> None:
    """Raise OptionError where an option was set that has a use for events of the other kind only."""
    if len(event_shape) == 1:
        refuse_unused(options, for_images, f"it is for images, and these events are vectors {event_shape}")
    else:
        refuse_unused(options, for_vectors, f"it is for vectors, and these events are images {event_shape}")


# The steps of one scale, given the shape of its events.
Steps: TypeAlias = Callable[[Shape], list[Transform]]
# A net for so many channels in and so many out.
MakeNet: TypeAlias = Callable[[int, int], nn.Module]


def squeezed_flow(
    event_shape: Shape,
    context_dim: int,
    options: MultiScaleOptions,
    steps: Steps,
    portions: int = 1,
    objective: MakeObjective | None = None,
) -> Flow:
    """Pre-processing, then `squeezed_scales`, on images ``(C, H, W)``."""
    layers = data_layers(event_shape, context_dim, options)
    chain = Chain([*layers, squeezed_scales(event_shape, context_dim, options, steps, portions)])
    return Flow(build_base(options.base, chain.latent_shape, context_dim), chain, objective=objective)


def squeezed_scales(
    event_shape: Shape, context_dim: int, options: MultiScaleOptions, steps: Steps, portions: int = 1
) -> MultiScale:
    """Per scale a squeeze, the steps, and a learned prior of what leaves: of half the channels, at the end of all.

    steps: called with the event shape after the squeeze, ``(4C, H/2, W/2)``. portions: in how many pieces, of one
    channel at the least, the half of a scale leaves; before each there are steps on what is left until then.
    """
    together = Reversible if isinstance(options, SqueezedOptions) and options.memory_saving else Chain
    count, found, shape = scale_count(event_shape, options.scales), [], event_shape
    for i in range(count):
        before: list[Transform] = [Squeeze(shape)]
        shape = before[0].latent_shape
        for kept in _kept_channels(shape[0], portions) if i < count - 1 else ():
            found.append(Chain([*before, together(steps(shape)), split_prior(shape, context_dim, kept)]))
            before, shape = [], (kept, *shape[1:])
    found.append(Chain([*before, together(steps(shape)), top_prior(shape, context_dim)]))
    return MultiScale(found)


def _kept_channels(channels: int, portions: int) -> list[int]:
    """How many channels stay after each of the portions in which half of them leave: 12 in two portions, 9 and 6."""
    leaving = channels - channels // 2
    pieces = min(portions, leaving)
    return [channels - leaving * (i + 1) // pieces for i in range(pieces)]


class _Mixed(Protocol):
    """The options that coupling steps have."""

    @property
    def transforms(self) -> int: ...

    @property
    def linear(self) -> Linear: ...


def coupling_steps(options: _Mixed, make_map: Callable[[], Map], make_net: MakeNet) -> Steps:
    """Steps of activation normalisation, a linear layer across channels, and a coupling of one half of these."""

    def steps(event_shape: Shape) -> list[Transform]:
        found: list[Transform] = []
        for i in range(options.transforms):
            # Channels that are mixed, or have changed places, need not take turns.
            partition = Channelwise(event_shape, keep_first=options.linear != "none" or i % 2 == 0)
            map = make_map()
            net = make_net(partition.kept_shape[0], map.n_params * partition.changed_shape[0])
            linear = linear_layers(event_shape, options.linear, "orthogonal")
            found += [ActNorm(event_shape), *linear, Coupling(partition, map, net)]
        return found

    return steps


def split_prior(event_shape: Shape, context_dim: int = 0, kept: int | None = None) -> Coupling:
    """The mean and the scale of the last channels given the first ones, as a step before the last ones leave.

    kept: how many the first ones are; None: half. At a lower temperature the deviations from that mean shrink and the
    mean stays.
    """
    partition, map = Channelwise(event_shape, keep_first=True, first=kept), Affine(SoftClampScale())
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
