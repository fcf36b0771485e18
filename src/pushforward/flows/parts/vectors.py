"""What the flows on vectors share: their options, and the chain of steps with linear layers between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from pushforward.bases import RealBase, build_base
from pushforward.errors import ShapeError
from pushforward.events import Shape
from pushforward.flow import Flow
from pushforward.flows.data_layers import DataOptions, data_layers
from pushforward.flows.options import Options, refuse_unused
from pushforward.maps import Affine, Map, RationalQuadraticSpline
from pushforward.maps.affine import LOG_SCALES
from pushforward.nets import MADE, MLP
from pushforward.nets.masked import ordered
from pushforward.transforms import Autoregressive, Coupling, DenseLinear, LULinear
from pushforward.transforms.base import Chain, Direction, Inverse, Transform
from pushforward.transforms.linear import Start
from pushforward.transforms.partition import VectorPartition, half, odd_even, random_half
from pushforward.transforms.permutation import random_permutation, reverse

Linear: TypeAlias = Literal["lu", "dense", "permutation", "reverse", "none"]
PartitionName: TypeAlias = Literal["random", "half", "odd-even"]


class StepOptions(DataOptions):
    """Options of every flow on vectors."""

    transforms: Annotated[int, Field(ge=1, description="steps, each changing every coordinate")] = 3
    linear: Annotated[
        Linear,
        Field(description="between steps: a learned matrix (lu, dense), or the order shuffled, reversed, or kept"),
    ] = "lu"
    base: Annotated[RealBase, Field(description="the latent's distribution")] = "normal"


class VectorOptions(StepOptions):
    """Options of a flow on vectors whose steps are maps conditioned by nets."""

    hidden: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1, description="widths of a net")] = (
        128,
        128,
    )
    activation: Annotated[
        Literal["relu", "tanh", "silu", "gelu", "elu"], Field(description="of the nets' hidden layers")
    ] = "relu"


class CouplingOptions(VectorOptions):
    """Options of a flow on vectors that consists of couplings."""

    transforms: Annotated[int, Field(ge=1, description="couplings, each changing about half of the coordinates")] = 8
    partition: Annotated[
        PartitionName, Field(description="which coordinates a coupling changes; the next one changes the others")
    ] = "random"
    dropout: Annotated[float, Field(ge=0, lt=1, description="share of hidden units dropped in training")] = 0.0


class SplineOptions(Options):
    """Options of a flow on vectors that consists of splines, beside those of its steps."""

    bins: Annotated[int, Field(ge=2, description="pieces of a spline")] = 8
    bound: Annotated[
        float, Field(gt=0, description="a spline bends on [-bound, bound] and is the identity outside")
    ] = 3.0


class LogScaleOptions(Options):
    """Options of a flow that consists of shifts and scales, beside those of its steps."""

    log_scale: Annotated[Literal["tanh", "sigmoid", "soft-clamp"], Field(description="what bounds the log-scales")] = (
        "soft-clamp"
    )


class AffineOptions(LogScaleOptions, VectorOptions):
    """Options of a flow on vectors that consists of shifts and scales."""

    transforms: Annotated[int, Field(ge=1, description="steps, each changing every coordinate")] = 5


class AmortisedOptions(VectorOptions):
    """Options of a flow on vectors whose steps have parameters of their own, shifted by a net of the context."""

    linear: Annotated[
        Linear,
        Field(description="between steps: a learned matrix (lu, dense), or the order shuffled, reversed, or kept"),
    ] = "none"
    hidden: Annotated[
        tuple[Annotated[int, Field(ge=1)], ...],
        Field(min_length=1, description="with a context: widths of the net that shifts a step's parameters"),
    ] = (128, 128)
    direction: Annotated[
        Direction,
        Field(description="which way is a formula; the other one needs more work, or numeric roots"),
    ] = "to_latent"


Step: TypeAlias = Callable[[int], Transform]


def vector_flow(event_shape: Shape, context_dim: int, options: StepOptions, step: Step) -> Flow:
    """Pre-processing, then ``options.transforms`` steps ``step(i)`` with linear layers between them."""
    require_vectors(event_shape)
    refuse_mixing(event_shape, options, ("linear",))
    layers = data_layers(event_shape, context_dim, options)
    for i in range(options.transforms):
        if i:
            layers += linear_layers(event_shape, options.linear)
        layers.append(step(i))
    return Flow(build_base(options.base, event_shape, context_dim), Chain(layers))


def turned(step: Transform, direction: Direction) -> Transform:
    """``step``, whose `to_latent` is the cheap direction, such that ``direction`` is."""
    return step if direction == "to_latent" else Inverse(step)


def require_vectors(event_shape: Shape) -> None:
    """Raise ShapeError for events that are no vectors."""
    if len(event_shape) != 1:
        raise ShapeError(
            f"vectors, event_shape (D,), expected, got {tuple(event_shape)}; for images use real_nvp, glow or nsf"
        )


def refuse_mixing(event_shape: Shape, options: Options, names: tuple[str, ...]) -> None:
    """Raise OptionError where an option says how coordinates take turns or mix, and there is only one."""
    if event_shape == (1,):
        refuse_unused(options, names, "there is a single coordinate, and no other to take turns or mix with")


def linear_layers(event_shape: Shape, linear: Linear, start: Start = "identity") -> list[Transform]:
    """What comes between two steps; nothing for a single coordinate, which there is no other to mix with.

    It mixes the coordinates of vectors or the channels of images. start: of a learned matrix.
    """
    if linear == "none" or event_shape[0] == 1:
        return []
    if linear in ("lu", "dense"):
        return [(LULinear if linear == "lu" else DenseLinear)(event_shape, start)]
    return [reverse(event_shape) if linear == "reverse" else random_permutation(event_shape)]


def autoregressive(event_shape: Shape, context_dim: int, map: Map, options: VectorOptions) -> Autoregressive:
    """The map conditioned by a residual MADE, coordinates in their order."""
    net = MADE(ordered(event_shape[0]), map.n_params, options.hidden, context_dim, options.activation)
    return Autoregressive(map, net)


def couplings(event_shape: Shape, context_dim: int, make_map: Callable[[], Map], options: CouplingOptions) -> Step:
    """Steps that are couplings, conditioned by a residual MLP on what each one keeps."""
    refuse_mixing(event_shape, options, ("partition",))
    taken = partitions(event_shape[0], options.partition)

    def step(i: int) -> Transform:
        partition, map = next(taken), make_map()
        kept, changed = partition.kept_shape[0], partition.changed_shape[0]
        net = MLP(kept, map.n_params * changed, options.hidden, context_dim, options.activation, options.dropout, True)
        return Coupling(partition, map, net)

    return step


def partitions(features: int, kind: PartitionName) -> Iterator[VectorPartition]:
    """One partition a coupling: every second one is the complement of the one before, so that all coordinates change.

    With fixed halves a coordinate is never conditioned on one of its own half; a new random half each time mixes all.
    A single coordinate is changed each time.
    """
    make = {"random": random_half, "half": half, "odd-even": odd_even}[kind]
    partition = make(features)
    while True:
        yield partition
        if features == 1:
            continue
        other = partition.complement()
        yield other
        # Changing the same coordinates twice in a row would waste a coupling; with two features it often came up.
        while kind == "random" and (partition := make(features)).indices == other.indices:
            pass


def affine_map(event_shape: Shape, options: LogScaleOptions) -> Map:
    """A shift and a scale; a spline where there is one coordinate only (see `bendable`)."""
    if event_shape == (1,):
        refuse_unused(options, ("log_scale",), "a single coordinate is changed by a spline, which has no log-scale")
    return bendable(Affine(LOG_SCALES[options.log_scale]()), event_shape)


def bendable(map: Map, event_shape: Shape) -> Map:
    """``map``, or for a single coordinate a spline.

    Nothing is there to condition a single coordinate on, and a chain of shifts and scales of it is one shift and scale:
    the flow would be a Gaussian for ever.
    """
    return map if event_shape != (1,) else RationalQuadraticSpline()
