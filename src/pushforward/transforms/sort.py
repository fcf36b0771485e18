"""Sorting as a surjection, for sets of numbers; ordered vectors as vectors of real numbers."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pushforward.domain import REAL, Domain, product
from pushforward.errors import ShapeError
from pushforward.events import Shape, zero_log_term
from pushforward.noise import Noise, NoiseValue
from pushforward.transforms.base import Chain, Transform
from pushforward.transforms.positive import InverseSoftplus
from pushforward.transforms.preprocessing import Identity
from pushforward.transforms.product import Product
from pushforward.transforms.stochastic_permutation import random_order, reordered

ORDERED = Domain("ordered")


class Sort(Transform):
    """Sorting: the coordinates of vectors ``(D,)`` in ascending order; `to_data` draws their order.

    All orders are equally likely given the latent, so that the log term is ``-ln D!``. The likelihood is exact, for an
    exchangeable model. For data that are not exchangeable, the best possible fit is their mean over all orders. The
    transforms that follow must take ordered vectors (`ordered_to_real`), or the density would lose mass.

    Source: Nielsen, Jaini, Hoogeboom, Winther & Welling, "SurVAE flows", 2020, section 3.2 and appendix D.

    >>> import torch
    >>> from pushforward.transforms import Sort
    >>> step = Sort((3,))
    >>> step.to_latent(torch.tensor([[3.0, 1.0, 2.0]]))[0], step.kind
    (tensor([[1., 2., 3.]]), 'exact')
    """

    codomain = ORDERED

    def __init__(self, event_shape: Shape) -> None:
        super().__init__()
        self.data_shape = self.latent_shape = _vectors(event_shape, "Sort")
        self.noise_to_data = Noise(self.data_shape, "uniform")
        self._log_orders = math.lgamma(self.data_shape[0] + 1)

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        return x.sort(dim=1).values, zero_log_term(x) - self._log_orders

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        return reordered(z, random_order(noise, self)), zero_log_term(z) + self._log_orders


class Differences(Transform):
    """Ordered vectors ``(D,)`` as their first coordinate and the steps up to the next ones, which are positive.

    >>> import torch
    >>> from pushforward.transforms import Differences
    >>> Differences((3,)).to_latent(torch.tensor([[1.0, 4.0, 9.0]]))[0]
    tensor([[1., 3., 5.]])
    """

    domain = ORDERED

    def __init__(self, event_shape: Shape) -> None:
        super().__init__()
        self.data_shape = self.latent_shape = _vectors(event_shape, "Differences")
        self.codomain = product([REAL, *[Domain("real", 0.0)] * (self.data_shape[0] - 1)])

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        return torch.cat([x[:, :1], x[:, 1:] - x[:, :-1]], 1), zero_log_term(x)

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        return z.cumsum(1), zero_log_term(z)


def ordered_to_real(features: int) -> Transform:
    """Ordered vectors ``(D,)`` to all real vectors: their differences, all but the first by the inverse softplus."""
    differences = Differences((features,))
    if features == 1:
        return differences
    return Chain([differences, Product([Identity((1,)), InverseSoftplus((features - 1,))])])


def _vectors(event_shape: Shape, name: str) -> Shape:
    if len(event_shape) != 1 or event_shape[0] < 1:
        raise ShapeError(f"{name} takes vectors, event_shape (D,), got {tuple(event_shape)}")
    return tuple(event_shape)
