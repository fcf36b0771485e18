"""A product of bases: independent blocks of a vector, each with its own base."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from pushforward.bases.base import Base, Source
from pushforward.coordinate_blocks import CoordinateBlocks
from pushforward.errors import ShapeError


class ProductBase(Base):
    """Independent blocks of a vector, each with its own base on events ``(D_i,)``: the base of a `Product`.

    indices: the coordinates of each block; None takes them in order.

    >>> from pushforward.bases import ProductBase, StandardNormal, UniformCircle
    >>> base = ProductBase([StandardNormal((2,)), UniformCircle((1,))])
    >>> base.sample(4).shape
    torch.Size([4, 3])
    """

    def __init__(self, bases: Sequence[Base], indices: Sequence[Sequence[int]] | None = None) -> None:
        super().__init__()
        for i, base in enumerate(bases):
            if len(base.event_shape) != 1:
                raise ShapeError(f"base {i} of a product must have events (D,), got {base.event_shape}")
        sizes = [math.prod(base.event_shape) for base in bases]
        self.bases = nn.ModuleList(bases)
        self.blocks = CoordinateBlocks(sizes, indices)
        self.event_shape = (sum(sizes),)
        self.support = self.blocks.domain([base.support for base in bases])
        self.tempered = all(base.tempered for base in bases)
        self.conditional = any(base.conditional for base in bases)

    def _parts(self) -> list[Base]:
        return [cast(Base, base) for base in self.bases]

    def log_prob(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        values = [base.log_prob(part, context) for base, part in zip(self._parts(), self.blocks.split(z), strict=True)]
        return torch.stack(values).sum(0)

    def _draw(self, n: int, context: Tensor | None, temperature: float, source: Source) -> Tensor:
        return self.blocks.join([base._draw(n, context, temperature, source) for base in self._parts()])

    def cumulative(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        parts = zip(self._parts(), self.blocks.split(z), strict=True)
        return self.blocks.join([base.cumulative(part, context) for base, part in parts])
