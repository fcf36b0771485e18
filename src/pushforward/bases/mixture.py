"""A mixture of Gaussians with full covariances as a base."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pushforward.bases.base import Base, Source
from pushforward.errors import OptionError
from pushforward.events import Shape, log_dtype
from pushforward.maps.affine import DENSITY_LIMIT, SoftClampScale
from pushforward.option_checks import at_least_one
from pushforward.precision import full_precision
from pushforward.triangular import StrictTriangle

_MAX_SIZE = 1024  # largest size of an event: a component has half its square as parameters


class GaussianMixture(Base):
    """A learned mixture of ``components`` Gaussians with full covariances.

    Each component's precision matrix is stored as its Cholesky factor, ``A^T A`` with ``A`` lower triangular, so that
    scoring is one matrix product. At the start the covariances are the unit matrix, the weights equal and the means
    drawn at random, because equal components would stay equal. A temperature scales the deviations from the
    component's own mean. Samples carry gradients to means and covariances, not to weights.

    Source: Papamakarios, Pavlakou & Murray, "Masked autoregressive flow for density estimation", 2017, use mixtures as
    conditionals; Izmailov et al., "Semi-supervised learning with normalizing flows", 2020, as the base.

    >>> import torch
    >>> from pushforward.bases import GaussianMixture
    >>> GaussianMixture((2,), components=4).log_prob(torch.zeros(3, 2)).shape
    torch.Size([3])
    """

    def __init__(self, event_shape: Shape, components: int = 8) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)
        self.components = at_least_one(components, "components of a mixture")
        self.size = math.prod(self.event_shape)
        if self.size > _MAX_SIZE:
            raise OptionError(
                f"a mixture with full covariances is for events of at most {_MAX_SIZE:,} numbers, got {self.size:,}"
            )
        self.logits = nn.Parameter(torch.zeros(components))
        self.means = nn.Parameter(torch.randn(components, self.size))
        self.raw_scale = nn.Parameter(torch.zeros(components, self.size))
        self.below = StrictTriangle(self.size, components)
        self.scale = SoftClampScale(DENSITY_LIMIT)

    def _factors(self) -> tuple[Tensor, Tensor]:
        """The factors ``A: (K, D, D)`` and the logs of their diagonals ``(K, D)``."""
        log_diagonal = -self.scale(self.raw_scale)
        factors: Tensor = self.below() + log_diagonal.exp().diag_embed()
        return factors, log_diagonal

    def log_prob(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        with full_precision(z):
            z = z.reshape(-1, self.size).to(log_dtype(z))
            factors, log_diagonal = self._factors()
            centres = (factors @ self.means[:, :, None]).reshape(-1)
            y = F.linear(z, factors.reshape(-1, self.size), -centres).reshape(-1, self.components, self.size)
            # Bounded, so that far outside the components remain comparable, instead of inf with inf.
            squares = y.square().sum(2).clamp(max=torch.finfo(z.dtype).max / 8)
            each = log_diagonal.sum(1) - 0.5 * squares - 0.5 * self.size * math.log(2 * math.pi)
            value: Tensor = torch.logsumexp(self.logits.log_softmax(0) + each, 1)
            return value

    def _draw(self, n: int, context: Tensor | None, temperature: float, source: Source) -> Tensor:
        chosen = _choose(self.logits, n, source)
        factors, _ = self._factors()
        noise = source.normal(n, self.size, 1)
        deviations: Tensor = torch.linalg.solve_triangular(source.take(factors)[chosen], noise, upper=False)[..., 0]
        return (source.take(self.means)[chosen] + temperature * deviations).reshape(n, *self.event_shape)


def _choose(logits: Tensor, n: int, source: Source) -> Tensor:
    """The index of the component of each of ``n`` samples: ``(n,)``."""
    ends = source.take(logits.detach().softmax(0).cumsum(0))
    return (source.uniform(n, 1) >= ends).sum(1).clamp(max=len(logits) - 1)
