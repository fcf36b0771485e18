"""Triangular matrices from their learned entries."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class StrictTriangle(nn.Module):
    """Strictly lower triangular matrices ``(*batch, size, size)`` with their entries as parameters."""

    def __init__(self, size: int, *batch: int) -> None:
        super().__init__()
        self.size, self.batch = size, batch
        self.entries = nn.Parameter(torch.zeros(*batch, size * (size - 1) // 2))
        places = torch.ones(size, size, dtype=torch.bool).tril(-1).flatten().nonzero()[:, 0]
        self._places = nn.Buffer(places, persistent=False)

    def forward(self) -> Tensor:
        return fill_matrix(self.entries, self._places, self.size, self.size)

    @torch.no_grad()
    def set(self, matrices: Tensor) -> None:
        """Set the entries below the diagonal from ``matrices: (*batch, size, size)``."""
        self.entries.copy_(matrices.to(self.entries).flatten(-2)[..., self._places])


def fill_matrix(entries: Tensor, places: Tensor, rows: int, columns: int) -> Tensor:
    """Matrices ``(*batch, rows, columns)`` with ``entries: (*batch, n)`` at ``places: (n,)``, row by row, else 0."""
    flat = entries.new_zeros(*entries.shape[:-1], rows * columns)
    return flat.index_copy(-1, places, entries).reshape(*entries.shape[:-1], rows, columns)
