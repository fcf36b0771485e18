"""i-ResNet: residual blocks that are invertible because their nets are contractive, with a truncated log-determinant.

Source: Behrmann, Grathwohl, Chen, Duvenaud & Jacobsen, "Invertible residual networks", 2019.
"""

from __future__ import annotations

from functools import partial

from pushforward.flows.options import Architecture, Recipe
from pushforward.flows.parts.residual import (
    BlockActivation,
    BlockImageOptions,
    BlockVectorOptions,
    image_blocks,
    vector_blocks,
)


class IResNetVectorOptions(BlockVectorOptions):
    """Options of `iresnet` on vectors."""

    activation: BlockActivation = "elu"


class IResNetImageOptions(BlockImageOptions):
    """Options of `iresnet` on images. The published CIFAR-10 model: 3 scales of 16 blocks, 512 channels."""

    activation: BlockActivation = "elu"


ARCHITECTURE = Architecture(
    name="iresnet",
    summary="contractive residual blocks; exact up to 8 dimensions, above that a biased series",
    when="To compare with the paper: above 8 dimensions its likelihoods are biased, those of residual_flow are not.",
    source="Behrmann, Grathwohl, Chen, Duvenaud & Jacobsen, 2019",
    vectors=Recipe(IResNetVectorOptions, partial(vector_blocks, series="truncated")),
    images=Recipe(IResNetImageOptions, partial(image_blocks, series="truncated")),
)
