"""Sylvester flows: planar flows of several units at once, with an equally cheap determinant.

Source: van den Berg, Hasenclever, Tomczak & Welling, "Sylvester normalizing flows for variational inference", 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pushforward.events import log_dtype
from pushforward.maps.affine import SoftClampScale
from pushforward.maps.bend import Bend
from pushforward.maps.slopes import positive_slope
from pushforward.nets.context import ContextParameters
from pushforward.noise import NoiseValue
from pushforward.precision import full_precision
from pushforward.transforms.base import Transform
from pushforward.transforms.orthonormal import OrthonormalColumns
from pushforward.triangular import fill_matrix


@dataclass(frozen=True)
class _Parts:
    """The matrices and vectors of a step; ``B`` is 1 without a context, and ``M`` the number of units."""

    q: Tensor  # (B, D, M), orthonormal columns
    r: Tensor  # (B, M, M), an upper triangle
    inner: Tensor  # (B, M, M), R~, an upper triangle with a positive diagonal
    bias: Tensor  # (M, B)
    raw_slope: Tensor  # (M, B)


class Sylvester(Transform):
    """The transform ``z = x + Q R tanh(R~ Q^T x + b)`` of vectors (D,), with ``R`` and ``R~`` upper triangles.

    frame: makes the ``M`` orthonormal columns of ``Q``. With ``a = R~ Q^T x + b`` and ``T = R~ R``,

        ``R~ Q^T z + b = a + T tanh(a)``,

    whose unit ``i`` is ``a_i + T_ii tanh(a_i)`` plus terms of later units: given those, each is a `Bend` of one number.
    So the log term is the sum of their log-slopes (Sylvester's determinant identity). The inverse computes ``a`` from
    the last unit to the first, each as a numeric root of an increasing function, and subtracts.

    ``T_ii = R_ii R~_ii`` must be above -1. The authors' code bounds both by 1 with a tanh, which limits all slopes to 2
    and all bends to widths above 1. Here ``T_ii`` is a softplus less 1, as in a `Planar`, with a smallest slope of
    0.001, and ``R~_ii`` is any number between exp(-5) and exp(5). At the start ``R = 0``, the identity, ``R~`` is the
    unit matrix, and ``b`` is drawn from a standard normal.

    With ``context_dim`` all parameters are shifted by a net of the context, of widths ``hidden``.

    >>> import torch
    >>> from pushforward.transforms import QRColumns, Sylvester
    >>> step, x = Sylvester(QRColumns(3, 2)), torch.randn(4, 3)
    >>> torch.allclose(step.to_data(step.to_latent(x)[0])[0], x, atol=1e-5)
    True
    """

    def __init__(
        self,
        frame: OrthonormalColumns,
        context_dim: int = 0,
        hidden: Sequence[int] = (128, 128),
        activation: str = "relu",
    ) -> None:
        super().__init__()
        self.data_shape = self.latent_shape = (frame.features,)
        self.frame, self.units = frame, frame.columns
        above = torch.ones(self.units, self.units, dtype=torch.bool).triu(1).flatten()
        self._above = nn.Buffer(above.nonzero()[:, 0], persistent=False)
        start_q, pairs = frame.start(), len(self._above)
        self._sizes = [len(start_q), pairs, pairs, self.units, self.units, self.units]
        start = torch.cat([start_q, torch.zeros(2 * (pairs + self.units)), torch.randn(self.units)])
        self.params = ContextParameters(start, context_dim, hidden, activation)
        self.map, self.log_scale = Bend(), SoftClampScale()

    def _parts(self, context: Tensor | None) -> _Parts:
        raw_q, r, inner, raw_slope, raw_scale, bias = self.params(context).split(self._sizes)
        scale = self.log_scale(raw_scale).exp()
        return _Parts(
            q=self.frame(raw_q),
            r=self._triangle(r, (positive_slope(raw_slope) - 1) / scale),
            inner=self._triangle(inner, scale),
            bias=bias,
            raw_slope=raw_slope,
        )

    def _triangle(self, above: Tensor, diagonal: Tensor) -> Tensor:
        """``(B, M, M)`` of the entries above the diagonal, row by row ``(M (M - 1) / 2, B)``, and on it ``(M, B)``."""
        return fill_matrix(above.t(), self._above, self.units, self.units) + diagonal.t().diag_embed()

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        with full_precision(x):
            parts = self._parts(context)
            units = times(parts.inner, times(parts.q.mT, x.t())) + parts.bias
            _, log_slopes = self.map(units, parts.raw_slope.expand_as(units)[None])
            z = x + times(parts.q, times(parts.r, units.tanh())).t()
            return z, log_slopes.sum(0, dtype=log_dtype(x))

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        with full_precision(z):
            parts = self._parts(context)
            mixed = times(parts.inner, times(parts.q.mT, z.t())) + parts.bias
            bent, log_term = self._unmix(mixed, parts)
            return z - times(parts.q, times(parts.r, bent)).t(), log_term.to(log_dtype(z))

    def _unmix(self, mixed: Tensor, parts: _Parts) -> tuple[Tensor, Tensor]:
        """``tanh(a)`` and the log term from ``a + T tanh(a)``, both ``(M, B)``: back substitution."""
        t, raw_slope = parts.inner @ parts.r, parts.raw_slope.expand_as(mixed)
        bent, log_term = mixed[:0], torch.zeros_like(mixed[0])
        for i in reversed(range(self.units)):
            remaining = mixed[i] - (t[:, i, i + 1 :].t() * bent).sum(0)
            unit, log_slope = self.map.inverse(remaining, raw_slope[i][None])
            bent, log_term = torch.cat([unit.tanh()[None], bent]), log_term + log_slope
        return bent, log_term


def times(matrices: Tensor, columns: Tensor) -> Tensor:
    """``matrices: (B, m, n)``, or ``(1, m, n)`` for all, times ``columns: (n, B)``: ``(m, B)``."""
    if matrices.shape[0] == 1:
        return matrices[0] @ columns
    return (matrices @ columns.t()[:, :, None])[:, :, 0].t()
