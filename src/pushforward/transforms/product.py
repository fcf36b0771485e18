"""Transforms side by side, each on its own coordinates of a vector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar, cast

from torch import Tensor, nn

from pushforward.coordinate_blocks import CoordinateBlocks
from pushforward.errors import OptionError, ShapeError
from pushforward.events import zero_log_term
from pushforward.noise import NoiseValue, part_noise
from pushforward.transforms.base import Transform, join_parts

T = TypeVar("T")


class Product(Transform):
    """Transforms of vectors side by side: each changes its own coordinates, and their log terms add up.

    Real, positive, bounded and circular coordinates then stand beside each other in one vector. Every part gets the
    whole context. indices: the coordinates of each part, for parts that keep their number of coordinates; None: the
    parts take consecutive blocks. Raises ShapeError, OptionError where parts are not of vectors or indices do not hold
    each coordinate once.
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
                raise OptionError(
                    f"{name} is of ordered vectors, of which the coordinates have no domains of their own"
                )
        self.transforms = nn.ModuleList(transforms)
        data, latent = [t.data_shape[0] for t in transforms], [t.latent_shape[0] for t in transforms]
        self._data, self._latent = CoordinateBlocks(data, indices), CoordinateBlocks(latent, indices)
        self.data_shape, self.latent_shape = (sum(data),), (sum(latent),)
        self.domain = self._data.domain([t.domain for t in transforms])
        self.codomain = self._latent.domain([t.codomain for t in transforms])
        self.clamps = all(t.clamps for t in transforms)
        join_parts(self, transforms)

    def _parts(self) -> list[Transform]:
        return [cast(Transform, part) for part in self.transforms]

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        log_term, latents = zero_log_term(x), []
        given = part_noise(noise, len(self.transforms))
        for part, own, own_noise in zip(self._parts(), self._data.split(x), given, strict=True):
            z, term = part.to_latent(own, context, own_noise)
            latents.append(z)
            log_term = log_term + term
        return self._latent.join(latents), log_term

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        log_term, data = zero_log_term(z), []
        given = part_noise(noise, len(self.transforms))
        for part, own, own_noise in zip(self._parts(), self._latent.split(z), given, strict=True):
            x, term = part.to_data(own, context, own_noise)
            data.append(x)
            log_term = log_term + term
        return self._data.join(data), log_term

    def initialise(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> None:
        given = part_noise(noise, len(self.transforms))
        for part, own, own_noise in zip(self._parts(), self._data.split(x), given, strict=True):
            part.initialise(own, context, own_noise)

    def path_noise(self, x: Tensor, z: Tensor, context: Tensor | None = None, back: NoiseValue = None) -> NoiseValue:
        if self.noise_to_latent is None:
            return None
        given = part_noise(back, len(self.transforms))
        ends = zip(self._parts(), self._data.split(x), self._latent.split(z), given, strict=True)
        return tuple(part.path_noise(data, latent, context, own) for part, data, latent, own in ends)
