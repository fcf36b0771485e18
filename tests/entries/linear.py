"""Linear layers on vectors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from entry import Entry, Reason, transform_entry
from pushforward.bases import StandardLogistic
from pushforward.events import Shape
from pushforward.transforms import Householder, LULinear


def skewed(n: int, generator: torch.Generator) -> Tensor:
    """Correlated skewed data on three coordinates, which rotations do not leave as they are."""
    noise = torch.randn(n, 3, generator=generator, dtype=torch.float64)
    mixed = noise @ torch.tensor([[1.0, 0.5, 0.0], [0.0, 0.7, -0.4], [0.3, 0.0, 0.6]], dtype=torch.float64)
    return mixed + 0.2 * mixed.square()


def logistic(dtype: torch.dtype, shape: Shape) -> StandardLogistic:
    # Under a normal base a rotation has no effect on the density, and so no gradient.
    return StandardLogistic(shape)


def entries() -> list[Entry]:
    more: dict[str, Any] = {"base": logistic, "rows": skewed, "smooth": True, "golden": True}
    return [
        transform_entry("linear, LU", (3,), lambda: LULinear(3), **more),
        transform_entry("linear, LU, permutation", (3,), lambda: LULinear(3, "permutation", bias=False), **more),
        transform_entry("linear, LU, orthogonal", (3,), lambda: LULinear(3, "orthogonal"), **more),
        transform_entry("linear, Householder, orthogonal", (3,), lambda: Householder(3, "orthogonal"), **more),
        transform_entry(
            "linear, Householder, principal axes",
            (3,),
            lambda: Householder(3, "pca"),
            **more,
            skips={"i": Reason.COMPILED_ALREADY},
        ),
        transform_entry("linear, LU, 1 feature", (1,), lambda: LULinear(1, "orthogonal")),
        transform_entry("linear, LU, 64 features", (64,), lambda: LULinear(64, "orthogonal")),
    ]
