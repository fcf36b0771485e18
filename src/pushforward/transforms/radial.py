"""Radial flows: space is stretched or squeezed around one point.

Source: Rezende & Mohamed, "Variational inference with normalizing flows", 2015, section 4.1 and appendix A.2.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pushforward.events import log_dtype
from pushforward.maps.slopes import positive_slope
from pushforward.nets.context import ContextParameters
from pushforward.noise import NoiseValue
from pushforward.precision import full_precision
from pushforward.transforms.base import Transform


class Radial(Transform):
    """The transform ``z = x + beta (x - c) / (alpha + r)`` of vectors (D,), with ``r = |x - c|``, ``alpha > 0``, ``beta
    > -alpha``.

    Both directions have a closed form. In units of ``alpha``, with ``beta = (s - 1) alpha`` and ``q = r / alpha``, the
    distance from ``c`` becomes ``q (q + s) / (1 + q)``: ``s > 0`` is the slope at ``c``. As in the paper ``s`` is a
    softplus, here with 1, the identity, at 0 and a smallest value of 0.001. The log term is
    ``(D - 1) log((q + s) / (1 + q)) + log((q^2 + 2 q + s) / (1 + q)^2)``. At the start ``s = 1``, ``c`` is drawn
    from a standard normal, and ``alpha`` is about as large as such a vector.

    With ``context_dim`` all of ``c``, ``alpha`` and ``s`` are shifted by a net of the context, of widths ``hidden``.

    >>> import torch
    >>> from pushforward.transforms import Radial
    >>> step, x = Radial(2), torch.randn(3, 2)
    >>> torch.allclose(step.to_data(step.to_latent(x)[0])[0], x, atol=1e-5)
    True
    """

    def __init__(
        self, features: int, context_dim: int = 0, hidden: Sequence[int] = (128, 128), activation: str = "relu"
    ) -> None:
        super().__init__()
        self.data_shape = self.latent_shape = (features,)
        start = torch.cat([torch.randn(features), torch.tensor([features**0.5 - 1, 0.0])])
        self.params = ContextParameters(start, context_dim, hidden, activation)

    def _parts(self, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """``c: (D, B)``, ``alpha: (B,)`` and ``s: (B,)``; ``B`` is 1 without a context."""
        centre, raw_alpha, raw_slope = self.params(context).split([*self.data_shape, 1, 1])
        return centre, positive_slope(raw_alpha[0]), positive_slope(raw_slope[0])

    def _log_term(self, q: Tensor, slope: Tensor) -> Tensor:
        """``q``: distance from the centre on the side of the data, in units of ``alpha``."""
        near, far = 1 / (1 + q), q / (1 + q)
        across = (far + slope * near).log()
        along = (far * (1 + near) + slope * near.square()).log()
        return (self.data_shape[0] - 1) * across + along

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        with full_precision(x):
            centre, alpha, slope = self._parts(context)
            offset = x.t() - centre
            q = _length(offset) / alpha
            return x + ((slope - 1) / (1 + q) * offset).t(), self._log_term(q, slope).to(log_dtype(x))

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        with full_precision(z):
            centre, alpha, slope = self._parts(context)
            offset = z.t() - centre
            q = _distance_before(_length(offset) / alpha, slope)
            # x - c is the offset times (1 + q) / (q + s).
            x = z - ((slope - 1) / (q + slope) * offset).t()
            return x, -self._log_term(q, slope).to(log_dtype(z))


def _length(columns: Tensor) -> Tensor:
    """The lengths ``(B,)`` of ``columns: (D, B)``, up to the largest numbers; with a gradient of 0 at 0."""
    scale = columns.detach().abs().amax(0).clamp(min=1)
    square = (columns / scale).square().sum(0)
    away = square > 0
    return torch.where(away, scale * torch.where(away, square, 1.0).sqrt(), 0.0)


def _distance_before(after: Tensor, slope: Tensor) -> Tensor:
    """The ``q >= 0`` with ``q (q + slope) / (1 + q) = after``: the root of ``q^2 + (slope - after) q = after``."""
    # In units of 1 + after, because a square could overflow. The form of the root without cancellation is chosen.
    unit = 1 + after
    middle = (after - slope) / unit
    root = (middle.square() + 4 * (after / unit) / unit).sqrt()
    return torch.where(middle > 0, unit * (middle + root) / 2, 2 * (after / unit) / (root - middle.clamp(max=0)))
