"""Planar flows: space is stretched or squeezed across one hyperplane.

Source: Rezende & Mohamed, "Variational inference with normalizing flows", 2015, section 4.1 and appendix A.1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pushforward.events import log_dtype
from pushforward.maps.affine import SoftClampScale
from pushforward.maps.bend import Bend
from pushforward.maps.slopes import positive_slope
from pushforward.nets.context import ContextParameters
from pushforward.noise import NoiseValue
from pushforward.precision import full_precision
from pushforward.transforms.base import Transform


class Planar(Transform):
    """A planar transform ``z = x + u^ tanh(w . x + b)`` of vectors (D,), with ``u^`` such that ``w . u^ > -1``.

    Along ``w`` this is a `Bend`: ``w . z + b = a + (w . u^) tanh(a)`` for ``a = w . x + b``. Hence the log term ``log(1
    + (w . u^) (1 - tanh(a)^2))``, and the inverse, which computes ``a`` as the numeric root of one increasing function
    per row, and subtracts. Only the part of ``u`` along ``w`` is constrained: the paper's
    ``m(w . u) = -1 + softplus(w . u)``, here with ``m(0) = 0``, so that ``u = 0`` is the identity, and with a smallest
    slope of 0.001 across the plane. The length of ``w`` stays between exp(-5) and exp(5): there is no ``u^`` at ``w =
    0``. At the start ``u = 0``, ``w`` is a random direction, and ``b`` is random.

    With ``context_dim`` all of ``w``, ``u`` and ``b`` are shifted by a net of the context, of widths ``hidden``.

    >>> import torch
    >>> from pushforward.transforms import Planar
    >>> step, x = Planar(2), torch.randn(3, 2)
    >>> torch.allclose(step.to_data(step.to_latent(x)[0])[0], x, atol=1e-5)
    True
    """

    def __init__(
        self, features: int, context_dim: int = 0, hidden: Sequence[int] = (128, 128), activation: str = "relu"
    ) -> None:
        super().__init__()
        self.data_shape = self.latent_shape = (features,)
        direction = torch.randn(features)
        start = torch.cat([direction / direction.norm(), torch.zeros(features), torch.randn(1)])
        self.params = ContextParameters(start, context_dim, hidden, activation)
        self.map, self.log_length = Bend(), SoftClampScale()

    def _parts(self, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """``w: (D, B)``, ``u^: (D, B)``, ``b: (B,)`` and the raw slope ``(B,)``; ``B`` is 1 without a context."""
        (features,) = self.data_shape
        raw_w, u, b = self.params(context).split([features, features, 1])
        square = raw_w.square().sum(0)
        nonzero = square > torch.finfo(square.dtype).tiny
        norm = torch.where(nonzero, square, 1.0).sqrt()
        direction = torch.where(nonzero, raw_w, 0.0) / norm
        length = self.log_length(norm.log()).exp()
        w = length * direction
        raw_slope = (w * u).sum(0)
        u = u + (positive_slope(raw_slope) - 1 - raw_slope) / length * direction
        return w, u, b[0], raw_slope

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        with full_precision(x):
            w, u, b, raw_slope = self._parts(context)
            along = (w * x.t()).sum(0) + b
            _, log_slope = self.map(along, raw_slope.expand_as(along)[None])
            return x + (u * along.tanh()).t(), log_slope.to(log_dtype(x))

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        with full_precision(z):
            w, u, b, raw_slope = self._parts(context)
            bent = (w * z.t()).sum(0) + b
            along, log_slope = self.map.inverse(bent, raw_slope.expand_as(bent)[None])
            return z - (u * along.tanh()).t(), log_slope.to(log_dtype(z))
