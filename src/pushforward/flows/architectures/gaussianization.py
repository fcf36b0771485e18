"""Gaussianization flow: mixtures of logistics make every coordinate normal, between learned rotations.

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

    transforms: Annotated[Transforms, Field(description="steps, each changing every coordinate independently")] = 6
    components: Annotated[int, Field(ge=1, description="logistic components per coordinate")] = 24
    rotation: Annotated[
        Literal["pca", "random"],
        Field(description="start of the rotations between steps: the principal axes of the data, or random"),
    ] = "pca"
    hidden: Annotated[Hidden, Field(description="widths of the nets of the context, if there is one")] = (128, 128)
    activation: Annotated[Activation, Field(description="activation of the nets of the context, if there is one")] = (
        "relu"
    )


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
    summary="mixtures of logistics that make each coordinate normal, between rotations",
    when="For skewed and multimodal columns: it starts from the quantiles of the data and needs no net.",
    source="Meng, Song, Song & Ermon, 2020",
    vectors=Recipe(GaussianizationOptions, steps),
)
