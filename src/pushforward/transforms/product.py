"""Transforms side by side, each on its own coordinates of a vector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from pushforward.coordinate_blocks import CoordinateBlocks
from pushforward.errors import OptionError, ShapeError
from pushforward.events import zero_log_term
from pushforward.noise import NoiseValue, part_noise
from pushforward.transforms.base import Transform, join_parts


class Product(Transform):
    """A product of transforms: each changes its own coordinates of a vector, and their log terms add up.

    One vector may so have real, positive, bounded and circular coordinates. Every part gets the whole context. indices:
    the coordinates of each part, for parts that keep their number of coordinates; None: the parts take consecutive
    blocks. Raises ShapeError, OptionError where parts are not of vectors or indices do not hold each coordinate once.

    >>> import torch
    >>> from pushforward.transforms import Angles, Log, Product
    >>> step = Product([Log((1,)), Angles((1,))])
    >>> step.to_latent(torch.tensor([[1.0, 0.5]]))[0]
    tensor([[0.0000, 0.5000]])
    """

    def __init__(self, transforms: Sequence[Transform], indices: Sequence[Sequence[int]] | None = None) -> None:
        super().__init__()
        if not transforms:
            raise OptionError("a Product needs at least one transform")
        for i, part in enumerate(transforms):
            name = f"part {i} of a Product ({type(part).__name__})"
            if len(part.data_shape) != 1 or len(part.latent_shape) != 1:
                raise ShapeError(f"{name} must be of vectors (D,), it maps {part.data_shape} to {part.latent_shape}")
            if indices is not None and part.data_shape != part.latent_shape:
                raise ShapeError(f"{name} has indices, so it must keep {part.data_shape}, it gives {part.latent_shape}")
            if "ordered" in (part.domain.kind, part.codomain.kind):
                raise OptionError(f"{name} is of ordered vectors, whose coordinates have no separate domains")
        self.transforms = nn.ModuleList(transforms)
        data, latent = [t.data_shape[0] for t in transforms], [t.latent_shape[0] for t in transforms]
        self._data, self._latent = CoordinateBlocks(data, indices), CoordinateBlocks(latent, indices)
        self.data_shape, self.latent_shape = (sum(data),), (sum(latent),)
        self.domain = self._data.domain([t.domain for t in transforms])
        self.codomain = self._latent.domain([t.codomain for t in transforms])
        self.clamps = all(t.clamps for t in transforms)
        join_parts(self, transforms)

    def _each(self, values: list[Tensor], noise: NoiseValue) -> list[tuple[Transform, Tensor, NoiseValue]]:
        """Each part with its own coordinates of ``values`` and its noise."""
        parts = [cast(Transform, part) for part in self.transforms]
        return list(zip(parts, values, part_noise(noise, len(parts)), strict=True))

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        results = [
            part.to_latent(block, context, given) for part, block, given in self._each(self._data.split(x), noise)
        ]
        return self._latent.join([z for z, _ in results]), _sum_terms(x, results)

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        results = [
            part.to_data(block, context, given) for part, block, given in self._each(self._latent.split(z), noise)
        ]
        return self._data.join([x for x, _ in results]), _sum_terms(z, results)

    def initialise(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> None:
        for part, block, given in self._each(self._data.split(x), noise):
            part.initialise(block, context, given)

    def path_noise(self, x: Tensor, z: Tensor, context: Tensor | None = None, back: NoiseValue = None) -> NoiseValue:
        if self.noise_to_latent is None:
            return None
        ends = zip(self._each(self._data.split(x), back), self._latent.split(z), strict=True)
        return tuple(part.path_noise(data, latent, context, given) for (part, data, given), latent in ends)


def _sum_terms(values: Tensor, results: list[tuple[Tensor, Tensor]]) -> Tensor:
    return sum((term for _, term in results), zero_log_term(values))
