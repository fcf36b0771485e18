"""The same numbers in another shape."""

from __future__ import annotations

import math

from torch import Tensor

from pushforward.domain import REAL, Domain
from pushforward.errors import OptionError, ShapeError
from pushforward.events import Shape, zero_log_term
from pushforward.noise import NoiseValue
from pushforward.transforms.base import Transform


class Reshape(Transform):
    """An event of ``data_shape`` as one of ``latent_shape``, in the same order; all coordinates lie in ``domain``."""

    def __init__(self, data_shape: Shape, latent_shape: Shape, domain: Domain = REAL) -> None:
        super().__init__()
        self.data_shape, self.latent_shape = tuple(data_shape), tuple(latent_shape)
        if math.prod(self.data_shape) != math.prod(self.latent_shape):
            raise ShapeError(
                f"events of shape {self.data_shape} hold {math.prod(self.data_shape)} numbers and cannot take the "
                f"shape {self.latent_shape}, which holds {math.prod(self.latent_shape)}"
            )
        if domain.kind in ("product", "ordered"):
            raise OptionError(f"Reshape takes coordinates that all lie in one set each, got {domain}")
        self.domain = self.codomain = domain

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        return x.reshape(x.shape[0], *self.latent_shape), zero_log_term(x)

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        return z.reshape(z.shape[0], *self.data_shape), zero_log_term(z)
