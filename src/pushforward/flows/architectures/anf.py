"""Augmented normalizing flow: data and noise change each other in turn, as an encoder and a decoder.

Source: Huang, Dinh & Courville, "Augmented normalizing flows: Bridging the gap between generative flows and latent
variable models", 2020. One step is a variational autoencoder, several are a hierarchical one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeAlias

from pydantic import Field

from pushforward.events import Shape
from pushforward.flows.data_layers import FlowOptions
from pushforward.flows.options import Architecture, Recipe, Steps
from pushforward.flows.parts.fields import Activation, Channels, Hidden, Scales, Transforms
from pushforward.flows.parts.scales import scale_count
from pushforward.maps import Affine, SoftClampScale
from pushforward.maps.affine import STACKED_LIMIT
from pushforward.nets import MLP, ActNormConvNet
from pushforward.transforms import ActNorm, Augment, Channelwise, ConditionalFlow, Coupling, Flatten, Identity, Squeeze
from pushforward.transforms.base import Transform
from pushforward.transforms.partition import VectorPartition

Extra: TypeAlias = Annotated[int | None, Field(ge=1)]


class ANFOptions(FlowOptions):
    """Options of `anf` on both kinds of events."""

    transforms: Annotated[Transforms, Field(description="steps, each with an encoder and a decoder")] = 4


class ANFVectorOptions(ANFOptions):
    """Options of `anf` on vectors."""

    extra: Annotated[Extra, Field(description="number of added noise coordinates; None: as many as the data have")] = (
        None
    )
    hidden: Hidden = (128, 128)
    activation: Activation = "silu"


class ANFImageOptions(ANFOptions):
    """Options of `anf` on images."""

    extra: Annotated[
        Extra, Field(description="number of added noise channels after the squeezes; None: as many as the data have")
    ] = None
    channels: Channels = 64
    scales: Annotated[
        Scales, Field(description="squeezes before the first step; None: until the sides are 4 or odd")
    ] = None


def vector_steps(event_shape: Shape, context_dim: int, options: ANFVectorOptions) -> Steps:
    """Encoders and decoders of fully connected nets."""
    (size,) = event_shape

    def coupling(joint: Shape, encoder: bool) -> Transform:
        map, partition = _map(), VectorPartition(joint[0], range(size, joint[0]) if encoder else range(size))
        net = MLP(*partition.net_sizes(map), options.hidden, context_dim, options.activation, residual=True)
        return Coupling(partition, map, net)

    return Steps(_augmented(event_shape, options.extra, options.transforms, coupling), options.base)


def image_steps(event_shape: Shape, context_dim: int, options: ANFImageOptions) -> Steps:
    """Encoders and decoders of convolutional nets, on channels after the squeezes."""
    squeezes: list[Transform] = []
    shape = event_shape
    for _ in range(scale_count(event_shape, options.scales)):
        squeezes.append(Squeeze(shape))
        shape = squeezes[-1].latent_shape

    def coupling(joint: Shape, encoder: bool) -> Transform:
        map, partition = _map(), Channelwise(joint, keep_first=encoder, first=shape[0])
        return Coupling(partition, map, ActNormConvNet(*partition.net_sizes(map), options.channels, context_dim))

    steps = _augmented(shape, options.extra, options.transforms, coupling)
    return Steps([*squeezes, *steps, Flatten(steps[-1].latent_shape)], options.base)


def _augmented(
    shape: Shape, extra: int | None, count: int, coupling: Callable[[Shape, bool], Transform]
) -> list[Transform]:
    """Noise appended to the data, then ``e' = e exp(s(x)) + m(x)`` and ``x' = x exp(s(e')) + m(e')``: eqs. 8 and 9."""
    # Drawn from the standard normal, whatever the data are: the first encoder makes it depend on them.
    augment = Augment(shape, ConditionalFlow(Identity((extra or shape[0], *shape[1:]))))
    joint, transforms = augment.latent_shape, list[Transform]([augment])
    for _ in range(count):
        transforms += [coupling(joint, True), coupling(joint, False), ActNorm(joint)]
    return transforms


def _map() -> Affine:
    return Affine(SoftClampScale(STACKED_LIMIT))


ARCHITECTURE = Architecture(
    name="anf",
    summary="data and added noise change each other in turn, as encoder and decoder; the likelihood is a bound",
    when="As the link between autoencoders and flows: one step is a VAE; score with many samples.",
    source="Huang, Dinh & Courville, 2020",
    vectors=Recipe(ANFVectorOptions, vector_steps),
    images=Recipe(ANFImageOptions, image_steps),
)
