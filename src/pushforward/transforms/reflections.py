"""Orthonormal columns as products of Householder reflections, packed below a diagonal as LAPACK does."""

from __future__ import annotations

import torch
from torch import Tensor


def householder(packed: Tensor) -> Tensor:
    """The first ``M`` columns of ``-H_1 ... H_M``; ``H_i`` reflects along the ``i``-th column below the diagonal.

    packed: ``(*batch, D, M)`` with ``M <= D``. The columns' entries on the diagonal are 1, so that no column can
    vanish. Where all others are 0 the result is columns of the identity: the sign in front undoes the reflection of
    each axis. All orthonormal columns (for ``M = D``, all of the rotations) but a set of measure 0 are reached. The
    product is formed at once, as ``I - V T V^T`` with a triangular ``T^-1``: Joffrain et al., "Accumulating Householder
    transformations, revisited", 2006.
    """
    rows, columns = packed.shape[-2:]
    eye = torch.eye(rows, columns, dtype=packed.dtype, device=packed.device)
    v = packed.tril(-1) + eye
    products = v.mT @ v
    inverse = products.triu(1) + 0.5 * products.diagonal(dim1=-2, dim2=-1).diag_embed()
    product: Tensor = v @ torch.linalg.solve_triangular(inverse, v[..., :columns, :].mT, upper=True) - eye
    return product


def reflections(columns: Tensor) -> Tensor:
    """The inverse of `householder`: packed reflections of orthonormal ``columns: (*, D, K)``, up to their signs."""
    packed: Tensor = torch.geqrf(columns).a.tril(-1)
    return packed


def random_reflections(rows: int, columns: int) -> Tensor:
    """The columns of the reflections that make a random matrix triangular, below the diagonal; 0 elsewhere."""
    return reflections(torch.randn(rows, columns))
