"""Gaussian components with a few factors: low-rank covariances plus a variance of each column, for many columns.

Ghahramani & Hinton, "The EM algorithm for mixtures of factor analyzers", 1996. A gap leaves its column out of the sums
over columns, so that rows of any pattern of gaps share one product of matrices.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pushforward.mixtures.gaussians import Block, Gaussians

# Numbers that one block of rows holds.
_BLOCK_SIZE = 1_000_000


@dataclass(frozen=True, eq=False)
class FactorSums:
    """Sums over rows, weighted by responsibilities, of the regression of values on the factors and a constant.

    counts: ``(K,)``. present: ``(K, D)``, sums of weights where a value is present. products: ``(K, D, Q + 1, Q + 1)``,
    of the factors with each other. cross: ``(K, D, Q + 1)``, of the factors and the deviations from the means.
    squares: ``(K, D)``, of the deviations.
    """

    counts: Tensor
    present: Tensor
    products: Tensor
    cross: Tensor
    squares: Tensor


@dataclass(frozen=True, eq=False)
class Factors(Gaussians):
    """K Gaussians of covariance ``loadings @ loadings.T + diag(noise)``.

    means, noise: ``(K, D)``. loadings: ``(K, D, Q)``. variances: ``(D,)`` of all rows, towards which the noise of few
    rows is pulled.
    """

    means: Tensor
    loadings: Tensor
    noise: Tensor
    variances: Tensor

    @property
    def factors(self) -> int:
        return self.loadings.shape[2]

    def blocks(self, values: Tensor, present: Tensor) -> Iterator[FactorBlock]:
        size = (self.loadings.shape[2] + 1) ** 2 + 3 * self.columns
        for part in torch.split(torch.arange(len(values)), max(1, _BLOCK_SIZE // size)):
            yield FactorBlock(self, part, values[part], present[part])

    def no_statistics(self) -> FactorSums:
        count, columns, factors = self.loadings.shape
        products = self.means.new_zeros(count, columns, factors + 1, factors + 1)
        cross = self.means.new_zeros(count, columns, factors + 1)
        zeros = [torch.zeros_like(self.means) for _ in range(2)]
        return FactorSums(self.means.new_zeros(count), zeros[0], products, cross, zeros[1])

    def updated(self, statistics: FactorSums, strength: float) -> Factors:
        """``strength`` rows more are without correlation, and of the columns' variances over all rows."""
        ridge = torch.full(statistics.cross.shape[2:], strength, dtype=torch.float64)
        ridge[-1] = 1e-12  # the constant, which a column without values leaves undetermined
        products = statistics.products + torch.diag(ridge)
        weights = torch.linalg.solve(products, statistics.cross[..., None])[..., 0]
        fitted = (2 * statistics.cross - (statistics.products @ weights[..., None])[..., 0]) * weights
        rest = (statistics.squares - fitted.sum(2)).clamp_min(0.0)
        noise = (rest + strength * self.variances) / (statistics.present + strength)
        return replace(self, means=self.means + weights[..., -1], loadings=weights[..., :-1], noise=noise)

    def chosen(self, components: Tensor) -> Factors:
        parts = {name: getattr(self, name)[components] for name in ("means", "loadings", "noise")}
        return replace(self, **parts)

    def joined(self, others: Sequence[Factors]) -> Factors:
        every = [self, *others]
        return Factors(
            torch.cat([part.means for part in every]),
            torch.cat([part.loadings for part in every]),
            torch.cat([part.noise for part in every]),
            self.variances,
        )

    def split(self, generator: torch.Generator) -> tuple[Factors, Factors]:
        count, _, factors = self.loadings.shape
        direction = torch.randn(count, factors, 1, generator=generator, dtype=torch.float64)
        direction = direction / direction.norm(dim=1, keepdim=True)
        along = self.loadings @ direction
        step = math.sqrt(2 / math.pi) * along[..., 0]
        # The variance along the direction falls to that of half a Gaussian.
        loadings = self.loadings - (1 - math.sqrt(1 - 2 / math.pi)) * along @ direction.mT
        upper, lower = (replace(self, means=mean, loadings=loadings) for mean in (self.means + step, self.means - step))
        return upper, lower

    def draw(self, component: Tensor, values: Tensor, present: Tensor, generator: torch.Generator) -> Tensor:
        drawn = values.clone()
        noise = torch.randn(values.shape, generator=generator, dtype=torch.float64)
        latent = torch.randn(len(values), self.loadings.shape[2], 1, generator=generator, dtype=torch.float64)
        for block in self.blocks(values, present):
            for k in component[block.rows].unique().tolist():
                where = component[block.rows] == k
                rows = block.rows[where]
                mean, factor = block.part(where).posterior(k)
                root = torch.linalg.solve_triangular(factor.mT.expand(len(rows), -1, -1), latent[rows], upper=True)
                factors = mean + root[..., 0]
                every = self.means[k] + factors @ self.loadings[k].T + noise[rows] * self.noise[k].sqrt()
                drawn[rows] = torch.where(present[rows], values[rows], every)
        return drawn

    def conditional(self, column: int, values: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        means = values.new_zeros(len(values), len(self))
        variances = torch.ones_like(means)
        for block in self.blocks(values, present):
            for k in range(len(self)):
                loading = self.loadings[k, column]
                mean, factor = block.posterior(k)
                scaled = torch.linalg.solve_triangular(factor, loading[None, :, None], upper=False)
                means[block.rows, k] = self.means[k, column] + mean @ loading
                variances[block.rows, k] = scaled.square().sum((1, 2)) + self.noise[k, column]
        return means, variances

    def tensors(self) -> dict[str, Tensor]:
        names = ("means", "loadings", "noise", "variances")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def shapes(cls, components: int, columns: int, factors: int) -> dict[str, tuple[int, ...]]:
        of_columns = (components, columns)
        return {"means": of_columns, "loadings": (*of_columns, factors), "noise": of_columns, "variances": (columns,)}


class FactorBlock(Block):
    """Rows of any patterns of gaps."""

    def __init__(self, gaussians: Factors, rows: Tensor, values: Tensor, present: Tensor) -> None:
        self.rows = rows
        self._gaussians, self._values, self._present = gaussians, values, present
        # Rows of one pattern have one posterior covariance of the factors.
        alike = bool((present == present[:1]).all())
        self._masks = (present[:1] if alike else present).double()
        self._mask = present.double()

    def part(self, where: Tensor) -> FactorBlock:
        """The rows for which ``where: (n,)`` is true."""
        return FactorBlock(self._gaussians, self.rows[where], self._values[where], self._present[where])

    def log_densities(self) -> Tensor:
        counts = self._mask.sum(1)
        terms = []
        for k, noise in enumerate(self._gaussians.noise):
            deviations, projected, factor = self._projection(k)
            mean = _solve(factor, projected)
            distance = (deviations.square() / noise).sum(1) - (projected * mean).sum(1)
            log_scale = self._masks @ noise.log() + 2 * factor.diagonal(dim1=1, dim2=2).log().sum(1)
            terms.append(-0.5 * (distance + log_scale + counts * math.log(2 * math.pi)))
        return torch.stack(terms, 1)

    def posterior(self, k: int) -> tuple[Tensor, Tensor]:
        """Mean ``(n, Q)`` of the factors given the values, and the Cholesky factor of their precision."""
        _, projected, factor = self._projection(k)
        return _solve(factor, projected), factor

    def add(self, responsibilities: Tensor, statistics: FactorSums) -> None:
        statistics.counts.add_(responsibilities.sum(0))
        for k, weights in enumerate(responsibilities.T):
            deviations, projected, factor = self._projection(k)
            mean = _solve(factor, projected)
            latent = torch.cat([mean, mean.new_ones(len(mean), 1)], 1)
            products = latent[:, :, None] * latent[:, None, :]
            products[:, :-1, :-1] += torch.cholesky_inverse(factor)
            masks = weights[:, None] * self._mask
            statistics.present[k] += masks.sum(0)
            statistics.products[k] += (masks.T @ products.flatten(1)).view_as(statistics.products[k])
            statistics.cross[k] += (weights[:, None] * deviations).T @ latent
            statistics.squares[k] += weights @ deviations.square()

    def _projection(self, k: int) -> tuple[Tensor, Tensor, Tensor]:
        """Deviations ``(n, D)``, their projections on the factors ``(n, Q)``, and the factors' precision, factored."""
        loadings, noise = self._gaussians.loadings[k], self._gaussians.noise[k]
        deviations = (self._values - self._gaussians.means[k]) * self._mask
        scaled = loadings / noise[:, None]
        pairs = (loadings[:, :, None] * scaled[:, None, :]).flatten(1)
        count = loadings.shape[1]
        precision = (self._masks @ pairs).view(-1, count, count) + torch.eye(count, dtype=torch.float64)
        return deviations, deviations @ scaled, torch.linalg.cholesky((precision + precision.mT) / 2)


def _solve(factor: Tensor, projected: Tensor) -> Tensor:
    if len(factor) == 1:
        return torch.cholesky_solve(projected.T, factor[0]).T
    return torch.cholesky_solve(projected[..., None], factor)[..., 0]
