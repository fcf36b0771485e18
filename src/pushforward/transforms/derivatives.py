"""Jacobians of a net by backward passes, with or without a graph of their own."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def evaluated(g: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """``x`` such that it can be differentiated by, and ``g`` there, with a graph in any case."""
    wanted = torch.is_grad_enabled()
    with torch.enable_grad():
        # Hooks on x itself are for what is differentiated in the end.
        at = x.view_as(x) if wanted and x.requires_grad else x.detach().requires_grad_()
        return at, g(at)


def jacobian_row(y: Tensor, at: Tensor, i: int, wanted: bool) -> Tensor:
    """Row i of every Jacobian, ``(B, D)``; wanted: its derivatives are, too."""
    with torch.enable_grad():
        (row,) = torch.autograd.grad(y.flatten(1)[:, i].sum(), at, create_graph=wanted, retain_graph=True)
    return row.flatten(1)
