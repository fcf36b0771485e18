"""Augmented normalizing flow: data and noise change each other in turn, as an encoder and a decoder.

Source: Huang, Dinh & Courville, "Augmented normalizing flows: Bridging the gap between generative flows and latent
variable models", 2020. One step is a variational autoencoder, several are a hierarchical one.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pushforward.bases import build_base
from pushforward.events import Shape
from pushforward.flow import Flow
from pushforward.flows.data_layers import data_layers
from pushforward.flows.options import Architecture
from pushforward.flows.parts.scales import ScalesOptions, refuse_other_events, scale_count
from pushforward.maps import Affine, SoftClampScale
from pushforward.nets import MLP, ActNormConvNet
from pushforward.transforms import ActNorm, Augment, Channelwise, ConditionalFlow, Coupling, Flatten, Identity, Squeeze
from pushforward.transforms.base import Chain, Transform
from pushforward.transforms.partition import Partition, VectorPartition

_LIMIT = 2.0  # of a log-scale


class ANFOptions(ScalesOptions):
    """Options of `anf`."""

    transforms: Annotated[int, Field(ge=1, description="steps: an encoder and a decoder each")] = 4
    extra: Annotated[
        int | None,
        Field(ge=1, description="coordinates, or channels after the squeezes, of the noise; None: as many as the data"),
    ] = None
    scales: Annotated[
        int | None,
        Field(ge=1, le=16, description="images: squeezes before the first step; None: sides down to 4, or to odd ones"),
    ] = None
    hidden: Annotated[
        tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1, description="vectors: widths of a net")
    ] = (128, 128)
    activation: Annotated[
        Literal["relu", "tanh", "silu", "gelu", "elu"], Field(description="vectors: of the nets' hidden layers")
    ] = "silu"


def build(event_shape: Shape, context_dim: int, options: ANFOptions) -> Flow:
    """Augmented normalizing flow for events ``(D,)`` or ``(C, H, W)``."""
    refuse_other_events(event_shape, options, ("hidden", "activation"), ("channels", "scales"))
    layers, shape = data_layers(event_shape, context_dim, options), event_shape
    for _ in range(scale_count(event_shape, options.scales) if len(event_shape) != 1 else 0):
        layers.append(Squeeze(shape))
        shape = layers[-1].latent_shape
    extra = (options.extra or shape[0], *shape[1:])
    # Drawn from the standard normal, whatever the data are: the first encoder is what makes it depend on them.
    layers.append(Augment(shape, ConditionalFlow(Identity(extra))))
    joint = layers[-1].latent_shape
    for _ in range(options.transforms):
        layers += [*_encoder_and_decoder(joint, shape[0], context_dim, options), ActNorm(joint)]
    if len(joint) != 1:
        layers.append(Flatten(joint))
    chain = Chain(layers)
    return Flow(build_base(options.base, chain.latent_shape, context_dim), chain)


def _encoder_and_decoder(joint: Shape, data: int, context_dim: int, options: ANFOptions) -> list[Transform]:
    """``e' = e exp(s(x)) + m(x)``, then ``x' = x exp(s(e')) + m(e')``: eqs. 8 and 9."""
    found: list[Transform] = []
    for encoder in (True, False):
        map = Affine(SoftClampScale(_LIMIT))
        if len(joint) == 1:
            changed = range(data, joint[0]) if encoder else range(data)
            partition: Partition = VectorPartition(joint[0], changed)
            sizes = partition.kept_shape[0], map.n_params * partition.changed_shape[0]
            net = MLP(*sizes, options.hidden, context_dim, options.activation, residual=True)
            found.append(Coupling(partition, map, net))
        else:
            partition = Channelwise(joint, keep_first=encoder, first=data)
            sizes = partition.kept_shape[0], map.n_params * partition.changed_shape[0]
            found.append(Coupling(partition, map, ActNormConvNet(*sizes, options.channels, context_dim)))
    return found


ARCHITECTURE = Architecture(
    name="anf",
    options=ANFOptions,
    build=build,
    summary="data and added noise change each other in turn, as encoders and decoders; the likelihood is a bound",
    when="As the common ground of autoencoders and flows: one step is a VAE; score with many samples.",
    source="Huang, Dinh & Courville, 2020",
)
