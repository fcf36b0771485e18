"""Blocks of the coordinates of a vector."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pushforward.domain import Domain, product
from pushforward.errors import OptionError, ShapeError


class CoordinateBlocks(nn.Module):
    """Consecutive blocks of ``sizes`` coordinates of a vector, or blocks of the coordinates that ``indices`` lists.

    Attribute: ``indices``, the coordinates in the order of the blocks, ``(D,)``.
    """

    def __init__(self, sizes: Sequence[int], indices: Sequence[Sequence[int]] | None = None) -> None:
        super().__init__()
        self.sizes = list(sizes)
        total = sum(sizes)
        order = list(range(total)) if indices is None else [i for block in indices for i in block]
        if indices is not None and [len(block) for block in indices] != self.sizes:
            raise ShapeError(f"indices of blocks of {self.sizes} coordinates expected, got {[len(b) for b in indices]}")
        if sorted(order) != list(range(total)):
            raise OptionError(f"indices must hold each of the coordinates 0..{total - 1} once, got {order}")
        self._back = sorted(range(total), key=order.__getitem__)
        self.consecutive = order == self._back == list(range(total))
        self.indices = nn.Buffer(torch.tensor(order, dtype=torch.long), persistent=False)
        self._inverse = nn.Buffer(torch.tensor(self._back, dtype=torch.long), persistent=False)

    def split(self, x: Tensor) -> list[Tensor]:
        """The blocks of ``x: (B, D)``, ``(B, D_i)`` each."""
        x = x if self.consecutive else x.index_select(1, self.indices)
        return list(x.split(self.sizes, 1))

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """The inverse of `split`."""
        x = torch.cat(list(parts), 1)
        return x if self.consecutive else x.index_select(1, self._inverse)

    def domain(self, domains: Sequence[Domain]) -> Domain:
        """The domain of vectors whose blocks lie in ``domains``."""
        ordered = [d.coordinate(i) for d, size in zip(domains, self.sizes, strict=True) for i in range(size)]
        return product([ordered[i] for i in self._back])
