"""Residual flow: invertible residual blocks with an unbiased estimate of their log-determinant.

Source: Chen, Behrmann, Duvenaud & Jacobsen, "Residual flows for invertible generative modeling", 2019. The published
models have fully connected blocks after the last scale besides; here the last scale ends with a learned prior.
"""

from __future__ import annotations

from functools import partial

from pushforward.flows.options import Architecture, Recipe
from pushforward.flows.parts.residual import (
    BlockImageOptions,
    BlockVectorOptions,
    Coefficient,
    image_blocks,
    vector_blocks,
)


class ResidualFlowVectorOptions(BlockVectorOptions):
    """Options of `residual_flow` on vectors."""

    coefficient: Coefficient = 0.98


class ResidualFlowImageOptions(BlockImageOptions):
    """Options of `residual_flow` on images. The published CIFAR-10 model: 3 scales of 16 blocks, 512 channels."""

    coefficient: Coefficient = 0.98


ARCHITECTURE = Architecture(
    name="residual_flow",
    summary="contractive residual blocks; exact up to 8 dimensions, above that an unbiased estimate",
    when="When every step should change all coordinates jointly; likelihoods in many dimensions need probes.",
    source="Chen, Behrmann, Duvenaud & Jacobsen, 2019",
    vectors=Recipe(ResidualFlowVectorOptions, partial(vector_blocks, series="roulette")),
    images=Recipe(ResidualFlowImageOptions, partial(image_blocks, series="roulette")),
)
