"""Whitening: uncorrelated data of unit variance by an affine map, given the context where there is one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pushforward.channel_moments import channel_moments
from pushforward.errors import OptionError
from pushforward.events import zero_log_term
from pushforward.module_state import InitialisedByData
from pushforward.noise import NoiseValue
from pushforward.precision import full_precision, in_float64
from pushforward.transforms.base import Transform

# Smallest weight of the diagonal in the covariance, which bounds the scale of directions in which data do not vary.
_LEAST_WEIGHT = 1e-6
# Fraction of a column's variance below which it counts as determined by the context.
_LEAST_VARIANCE = 1e-10


class Whiten(Transform, InitialisedByData):
    """Whitening ``z = L^-1 (x - mean - slope (c - centre))`` of vectors, with moments that `initialise` sets once.

    ``mean + slope (c - centre)`` is the least-squares prediction of the data from the context ``c: (context_dim,)``,
    and ``L`` the Cholesky factor of the covariance of the residuals, which is shrunk towards its diagonal by ``D``
    pseudo-observations, because the given rows may be few.

    Source: the preconditioning of Tabak & Turner, "A family of nonparametric density estimation algorithms", 2013.

    >>> import torch
    >>> from pushforward.transforms import Whiten
    >>> step, x = Whiten(2), torch.randn(200, 2) @ torch.tensor([[2.0, 0.0], [1.0, 0.5]])
    >>> step.initialise(x)
    >>> torch.allclose(step.to_latent(x)[0].T.cov(), torch.eye(2), atol=0.02)
    True
    """

    def __init__(self, features: int, context_dim: int = 0) -> None:
        super().__init__()
        if features < 1 or context_dim < 0:
            raise OptionError(f"Whiten needs features >= 1 and context_dim >= 0, got {features} and {context_dim}")
        self.data_shape = self.latent_shape = (features,)
        self.mean = nn.Buffer(torch.zeros(features))
        self.factor = nn.Buffer(torch.eye(features))
        self.centre = nn.Buffer(torch.zeros(context_dim))
        self.slope = nn.Buffer(torch.zeros(features, context_dim))
        self.initialised = nn.Buffer(torch.zeros((), dtype=torch.bool))

    def _mean(self, context: Tensor | None) -> Tensor:
        if not len(self.centre) or context is None:
            return self.mean
        return self.mean + (context.to(self.mean.dtype) - self.centre) @ self.slope.T

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        with full_precision(x):
            left = (x - self._mean(context)).to(self.factor.dtype)
            z = torch.linalg.solve_triangular(self.factor, left.T, upper=False).T
            return z, zero_log_term(x) - self._log_det()

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        with full_precision(z):
            x = z.to(self.factor.dtype) @ self.factor.T + self._mean(context)
            return x, zero_log_term(z) + self._log_det()

    def _log_det(self) -> Tensor:
        return self.factor.diagonal().log().sum()

    @torch.no_grad()
    def initialise(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> None:
        if bool(self.initialised):
            return
        # In units of the columns' own deviations, so that the result does not depend on the units of the data.
        mean, unit = channel_moments(x)
        left = (in_float64(x) - mean) / unit
        if len(self.centre) and context is not None:
            centre, context_unit = channel_moments(context)
            deviation = (in_float64(context) - centre) / context_unit
            # The solution of minimum norm, where contexts are collinear or few.
            slope = torch.linalg.pinv(deviation, rtol=1e-6) @ left
            left = left - deviation @ slope
            self.centre.copy_(centre)
            self.slope.copy_((slope / context_unit[:, None] * unit).T)
        covariance = left.T @ left / len(x)
        weight = max(len(mean) / (len(mean) + len(x)), _LEAST_WEIGHT)
        variance = covariance.diagonal()
        # Rounding leaves a tiny variance in a constant, and in a column that the context determines.
        diagonal = torch.where(variance > _LEAST_VARIANCE, weight * variance, 1.0).diag()
        factor = torch.linalg.cholesky((1 - weight) * covariance + diagonal)
        self.factor.copy_(unit[:, None] * factor)
        self.mean.copy_(mean)
        self.initialised.fill_(True)
