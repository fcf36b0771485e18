"""Leading singular triplet of a matrix-free linear operator: power iteration and Golub-Kahan bidiagonalisation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

Operator: TypeAlias = Callable[[Tensor], Tensor]


def unit(vector: Tensor, otherwise: Tensor) -> Tensor:
    """``vector`` normalised to length 1, or ``otherwise`` where it is zero, as are all images of a zero operator."""
    norm = torch.linalg.vector_norm(vector)
    return torch.where(norm > torch.finfo(vector.dtype).tiny, vector / norm, otherwise)


@torch.no_grad()
def power_iteration(
    apply: Operator, adjoint: Operator, left: Tensor, right: Tensor, iterations: int
) -> tuple[Tensor, Tensor]:
    """Approximate leading left and right singular vectors, after power iterations from ``right``."""
    for _ in range(iterations):
        left = unit(apply(right), left)
        right = unit(adjoint(left), right)
    return left, right


@torch.no_grad()
def leading_vectors(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """The first left and right singular vectors of a matrix ``(m, n)``, from the eigenvectors of its smaller square."""
    wide = matrix.shape[0] <= matrix.shape[1]
    # Entries that are not finite are replaced for these vectors only; the weights keep them.
    finite = matrix.nan_to_num(0.0, 0.0, 0.0)
    square = finite @ finite.t() if wide else finite.t() @ finite
    first = torch.linalg.eigh(square)[1][:, -1]
    if wide:
        return first, unit(finite.t() @ first, finite.new_zeros(finite.shape[1]))
    return unit(finite @ first, finite.new_zeros(finite.shape[0])), first


@torch.no_grad()
def krylov_vectors(apply: Operator, adjoint: Operator, start: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """The first left and right singular vectors of an operator, by ``steps`` of Golub-Kahan bidiagonalisation.

    The pair gives the largest singular value within the Krylov space of ``start``. It is exact after as many steps as
    ``start`` has entries, and converges much faster than power iteration. Each vector is made orthogonal to all before
    it, twice. Source: Golub & Kahan, "Calculating the singular values and
    pseudo-inverse of a matrix", 1965, section 4.
    """
    steps = min(steps, start.numel())
    shape, zero = start.shape, torch.zeros_like(start)
    right = unit(start, zero).flatten()
    image = apply(right.reshape(shape))
    image_shape, image = image.shape, image.flatten()
    lefts, rights = image.new_zeros(steps, image.numel()), right.new_zeros(steps, right.numel())
    band = right.new_zeros(steps, steps)
    for i in range(steps):
        rights[i] = right
        image = apply(right.reshape(shape)).flatten()
        remainder = _orthogonal(image, lefts)
        band[i, i] = torch.linalg.vector_norm(remainder)
        lefts[i] = _direction(remainder, image)
        image = adjoint(lefts[i].reshape(image_shape)).flatten()
        remainder = _orthogonal(image, rights)
        right = _direction(remainder, image)
        if i + 1 < steps:
            band[i, i + 1] = torch.linalg.vector_norm(remainder)
    u, _, v = torch.linalg.svd(band.nan_to_num(0.0, 0.0, 0.0))
    return (u[:, 0] @ lefts).reshape(image_shape), (v[0] @ rights).reshape(shape)


def _orthogonal(vector: Tensor, others: Tensor) -> Tensor:
    """``vector`` minus its projections on the rows of ``others``, which are orthonormal or zero."""
    for _ in range(2):
        vector = vector - (others @ vector) @ others
    return vector


def _direction(remainder: Tensor, whole: Tensor) -> Tensor:
    """The unit vector of ``remainder``; zero where that is only rounding of ``whole``, as the space is exhausted."""
    norm = torch.linalg.vector_norm(remainder)
    least = 16 * torch.finfo(whole.dtype).eps * torch.linalg.vector_norm(whole)
    return torch.where(norm > least, remainder / norm.clamp(min=torch.finfo(whole.dtype).tiny), 0.0)
