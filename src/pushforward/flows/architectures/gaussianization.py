"""Gaussianization flow: every coordinate made normal by a mixture of logistics, between learned rotations.

Source: Meng, Song, Song & Ermon, "Gaussianization Flows", 2020.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pushforward.events import Shape
from pushforward.flows.data_layers import FlowOptions
from pushforward.flows.options import Architecture, Recipe, Steps
from pushforward.flows.parts.fields import Activation, Hidden, Transforms
from pushforward.flows.parts.mixing import refuse_mixing
from pushforward.maps import ProbitMixture
from pushforward.nets import MLP
from pushforward.transforms import Elementwise, Householder, Transform


class GaussianizationOptions(FlowOptions):
    """Options of `gaussianization`."""

    transforms: Annotated[Transforms, Field(description="steps, each changing every coordinate on its own")] = 6
    components: Annotated[int, Field(ge=1, description="logistics in the mixture of a coordinate")] = 24
    rotation: Annotated[
        Literal["pca", "random"],
        Field(description="where the rotations between steps start: at the data's principal axes, or at random"),
    ] = "pca"
    hidden: Annotated[Hidden, Field(description="with a context: widths of its nets")] = (128, 128)
    activation: Annotated[Activation, Field(description="with a context: of the nets' hidden layers")] = "relu"


def steps(event_shape: Shape, context_dim: int, options: GaussianizationOptions) -> Steps:
    """Mixture distribution functions of each coordinate, with rotations between."""
    refuse_mixing(event_shape, options, ("rotation",))
    (features,) = event_shape
    transforms: list[Transform] = []
    for i in range(options.transforms):
        if i and features > 1:
            transforms.append(Householder(features, "pca" if options.rotation == "pca" else "orthogonal"))
        transforms.append(_marginals(features, context_dim, options))
    return Steps(transforms, options.base)


def _marginals(features: int, context_dim: int, options: GaussianizationOptions) -> Transform:
    map = ProbitMixture(options.components)
    net = None
    if context_dim:
        net = MLP(context_dim, map.n_params * features, options.hidden, activation=options.activation, residual=True)
    return Elementwise(map, (features,), net)


ARCHITECTURE = Architecture(
    name="gaussianization",
    summary="mixture distribution functions of each coordinate, between rotations",
    when="For skewed and many-peaked columns: it starts from the quantiles of the data, without any net.",
    source="Meng, Song, Song & Ermon, 2020",
    vectors=Recipe(GaussianizationOptions, steps),
)
