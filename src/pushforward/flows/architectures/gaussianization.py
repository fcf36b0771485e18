"""Gaussianization flow: every coordinate made normal by a mixture of logistics, between learned rotations.

Source: Meng, Song, Song & Ermon, "Gaussianization Flows", 2020.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pushforward.bases import RealBase, build_base
from pushforward.events import Shape
from pushforward.flow import Flow
from pushforward.flows.data_layers import DataOptions, data_layers
from pushforward.flows.options import Architecture
from pushforward.flows.parts.vectors import refuse_mixing, require_vectors
from pushforward.maps import ProbitMixture
from pushforward.nets import MLP
from pushforward.transforms import Elementwise, Householder
from pushforward.transforms.base import Chain, Transform


class GaussianizationOptions(DataOptions):
    """Options of `gaussianization`."""

    transforms: Annotated[int, Field(ge=1, description="steps, each changing every coordinate on its own")] = 6
    components: Annotated[int, Field(ge=1, description="logistics in the mixture of a coordinate")] = 24
    rotation: Annotated[
        Literal["pca", "random"],
        Field(description="where the rotations between steps start: at the data's principal axes, or at random"),
    ] = "pca"
    hidden: Annotated[
        tuple[Annotated[int, Field(ge=1)], ...],
        Field(min_length=1, description="with a context: widths of the nets that see it"),
    ] = (128, 128)
    activation: Annotated[
        Literal["relu", "tanh", "silu", "gelu", "elu"], Field(description="with a context: of the nets' hidden layers")
    ] = "relu"
    base: Annotated[RealBase, Field(description="the latent's distribution")] = "normal"


def build(event_shape: Shape, context_dim: int, options: GaussianizationOptions) -> Flow:
    """Gaussianization flow on vectors (D,)."""
    require_vectors(event_shape)
    refuse_mixing(event_shape, options, ("rotation",))
    (features,) = event_shape
    layers = data_layers(event_shape, context_dim, options)
    for i in range(options.transforms):
        if i and features > 1:
            layers.append(Householder(features, "pca" if options.rotation == "pca" else "orthogonal"))
        layers.append(_marginals(features, context_dim, options))
    return Flow(build_base(options.base, event_shape, context_dim), Chain(layers))


def _marginals(features: int, context_dim: int, options: GaussianizationOptions) -> Transform:
    map = ProbitMixture(options.components)
    net = None
    if context_dim:
        net = MLP(context_dim, map.n_params * features, options.hidden, activation=options.activation, residual=True)
    return Elementwise(map, (features,), net)


ARCHITECTURE = Architecture(
    name="gaussianization",
    options=GaussianizationOptions,
    build=build,
    summary="mixture distribution functions of each coordinate, between rotations",
    when="For skewed and many-peaked columns: it starts from the quantiles of the data, without any net.",
    source="Meng, Song, Song & Ermon, 2020",
)
