"""Gaussian components with full covariances, conditioned exactly on the values that each row has."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pushforward.mixtures.gaussians import Block, Gaussians
from pushforward.mixtures.masked import MaskedBlock, conditional_draws
from pushforward.mixtures.rows import patterns

# Numbers that one block of rows holds for its features and its components.
_BLOCK_SIZE = 1_000_000
# Rows of a pattern of gaps below which many patterns are computed together.
_FEW = 64
# Smallest variance of a component, in units of the spread of all rows and of the rounding of each column's sums.
_FLOOR, _ROUNDING = 1e-6, 1e-13
# Least spread of a column in units of its deviation: beyond that, sums lose the digits of narrow components.
_LEAST_SPREAD = 0.01
# Mean of the upper half of a standard Gaussian.
_HALF_MEAN = math.sqrt(2 / math.pi)


@dataclass(frozen=True, eq=False)
class Scatter:
    """Sums over rows, weighted by responsibilities, about the means of the components.

    counts: ``(K,)``, the sums of the weights. deviations: ``(K, D)``. products: ``(K, D, D)``, of pairs of deviations.
    """

    counts: Tensor
    deviations: Tensor
    products: Tensor


@dataclass(frozen=True, eq=False)
class FullCovariance(Gaussians):
    """K Gaussians of D values.

    means: ``(K, D)``. covariances: ``(K, D, D)``. centre, scatter: ``(D,)`` and ``(D, D)``, the moments of all rows, by
    which the values are whitened before they are squared, and towards which the covariance of few rows is pulled.
    floor: ``(D, D)``, part of each covariance, so that components that collapse on equal rows stay wider than a
    thousandth of the spread of all rows.
    """

    means: Tensor
    covariances: Tensor
    centre: Tensor
    scatter: Tensor
    floor: Tensor

    @classmethod
    def single(cls, centre: Tensor, scatter: Tensor, spread: Tensor | None = None) -> FullCovariance:
        """One component with the moments of all rows; ``spread: (D,)`` is a deviation that outliers do not widen."""
        deviations = scatter.diagonal().sqrt()
        narrow = torch.ones_like(deviations) if spread is None else (spread / deviations).clamp(_LEAST_SPREAD, 1.0)
        floor = _FLOOR * scatter * (narrow[:, None] * narrow) + _ROUNDING * torch.diag(scatter.diagonal())
        return cls(centre[None], scatter[None], centre, scatter, floor)

    def blocks(self, values: Tensor, present: Tensor) -> Iterator[Block]:
        """Rows of one pattern of gaps together where they are many, else rows of many patterns."""
        few: list[Tensor] = []
        for columns, rows in patterns(present):
            if len(rows) < _FEW and len(columns) < self.columns:
                few.append(rows)
                continue
            marginal = _Marginal(self, columns, self.columns)
            size = max(1, _BLOCK_SIZE // (len(self) + marginal.features))
            for part in torch.split(rows, size):
                yield PatternBlock(part, marginal, marginal.expand(values[part][:, columns]))
        # Each row of a masked block has a matrix for each component.
        size = _BLOCK_SIZE // (len(self) * (1 + self.columns**2))
        sizes = torch.tensor([len(rows) for rows in few])
        batches = ((sizes.cumsum(0) - sizes) // max(1, size)).unique_consecutive(return_counts=True)[1]
        start = 0
        for count in batches.tolist():
            yield self._masked(few[start : start + count], values, present)
            start += count

    def _masked(self, groups: list[Tensor], values: Tensor, present: Tensor) -> MaskedBlock:
        """The rows of some patterns of gaps; each group has one pattern."""
        rows, masks = torch.cat(groups), torch.stack([present[group[0]] for group in groups])
        pattern = torch.arange(len(groups)).repeat_interleave(torch.tensor([len(group) for group in groups]))
        return MaskedBlock(rows, values[rows], masks, pattern, self.means, self.covariances, self._unit())

    def _unit(self) -> Tensor:
        return self.scatter.diagonal().sqrt()

    def no_statistics(self) -> Scatter:
        counts, means = self.means.new_zeros(len(self)), torch.zeros_like(self.means)
        return Scatter(counts, means, torch.zeros_like(self.covariances))

    def updated(self, statistics: Scatter, strength: float) -> FullCovariance:
        """``strength`` rows more have the covariance of all rows, less by the part of space that a component fills."""
        counts = statistics.counts.clamp_min(1e-12)
        shift = statistics.deviations / counts[:, None]
        products = statistics.products - statistics.deviations[:, :, None] * shift[:, None, :]
        features = max(1, self.columns)
        common = self.scatter * (strength * len(self) ** (-2 / features))
        covariances = (products + common) / (counts + strength)[:, None, None] + self.floor
        return replace(self, means=self.means + shift, covariances=(covariances + covariances.mT) / 2)

    def chosen(self, components: Tensor) -> FullCovariance:
        return replace(self, means=self.means[components], covariances=self.covariances[components])

    def joined(self, others: Sequence[FullCovariance]) -> FullCovariance:
        every = [self, *others]
        means, covariances = torch.cat([part.means for part in every]), torch.cat([part.covariances for part in every])
        return replace(self, means=means, covariances=covariances)

    def split(self, generator: torch.Generator) -> tuple[FullCovariance, FullCovariance]:
        if self.columns == 0:
            return self, self
        factors = torch.linalg.cholesky(self.covariances)
        common = torch.linalg.cholesky(self.scatter)
        _, sizes, axes = torch.linalg.svd(torch.linalg.solve_triangular(common, factors, upper=False))
        axis = torch.multinomial(sizes.square() + 1e-300, 1, generator=generator)
        direction = torch.take_along_dim(axes, axis[:, :, None], 1)[:, 0]
        step = (factors @ direction[:, :, None])[:, :, 0] * _HALF_MEAN
        covariances = self.covariances - step[:, :, None] * step[:, None, :]
        upper, lower = (
            replace(self, means=mean, covariances=covariances) for mean in (self.means + step, self.means - step)
        )
        return upper, lower

    def conditional(self, column: int, values: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        means = values.new_zeros(len(values), len(self))
        variances = torch.ones_like(means)
        for columns, rows in patterns(present):
            marginal = _Marginal(self, columns, present.shape[1])
            place = int((marginal.absent == column).nonzero()[0])
            weights = marginal.regression[:, place]
            white = marginal.whiten(values[rows][:, columns])
            means[rows] = self.means[:, column] + white @ weights.T - (marginal.means * weights).sum(1)
            variances[rows] = marginal.remaining()[:, place, place]
        return means, variances

    def draw(self, component: Tensor, values: Tensor, present: Tensor, generator: torch.Generator) -> Tensor:
        unit, drawn = self._unit(), torch.zeros_like(values)
        noise = torch.randn(values.shape, generator=generator, dtype=torch.float64)
        factors = torch.linalg.cholesky(self.covariances / (unit[:, None] * unit))
        for rows in torch.split(torch.arange(len(values)), max(1, _BLOCK_SIZE // (2 * self.columns**2 + 1))):
            marked = torch.cat([present[rows].long(), component[rows, None]], 1)
            pairs, pair = torch.unique(marked, dim=0, return_inverse=True)
            k, masks = pairs[:, -1], pairs[:, :-1].bool()
            white = conditional_draws(
                values[rows] / unit, present[rows], self.means[k] / unit, factors[k], pair, masks, noise[rows]
            )
            drawn[rows] = torch.where(present[rows], values[rows], white * unit)
        return drawn

    def tensors(self) -> dict[str, Tensor]:
        names = ("means", "covariances", "centre", "scatter", "floor")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def shapes(cls, components: int, columns: int, factors: int) -> dict[str, tuple[int, ...]]:
        square = (columns, columns)
        return {
            "means": (components, columns),
            "covariances": (components, *square),
            "centre": (columns,),
            "scatter": square,
            "floor": square,
        }


class _Marginal:
    """The components' densities of some columns, as products with features of the rows.

    The values are whitened by the scatter of all rows first, so that squares lose no digits where columns nearly copy
    each other. Each log-density is then linear in the squares, the products and the values.
    """

    def __init__(self, gaussians: FullCovariance, columns: Tensor, width: int) -> None:
        self.columns = columns
        known = torch.zeros(width, dtype=torch.bool)
        known[columns] = True
        self.absent = (~known).nonzero()[:, 0]
        self._gaussians = gaussians
        self._centre = gaussians.centre[columns]
        # Back from whitened values.
        self.unwhiten = torch.linalg.cholesky(gaussians.scatter[columns[:, None], columns])
        identity = torch.eye(len(columns), dtype=torch.float64)
        self._whitening = torch.linalg.solve_triangular(self.unwhiten, identity, upper=False)
        self.means = self.whiten(gaussians.means[:, columns])
        covariances = self._whitening @ gaussians.covariances[:, columns[:, None], columns] @ self._whitening.T
        factors = torch.linalg.cholesky((covariances + covariances.mT) / 2)
        self.precisions = torch.cholesky_inverse(factors)
        log_scale = factors.diagonal(dim1=1, dim2=2).log().sum(1) + self.unwhiten.diagonal().log().sum()
        self.pairs = torch.triu_indices(len(columns), len(columns))
        self.features = self.pairs.shape[1] + len(columns) + 1
        first, second = self.pairs
        linear = (self.precisions @ self.means[:, :, None])[:, :, 0]
        constant = -log_scale - 0.5 * len(columns) * math.log(2 * math.pi) - 0.5 * (linear * self.means).sum(1)
        quadratic = self.precisions[:, first, second] * torch.where(first == second, -0.5, -1.0)
        self.coefficients = torch.cat([quadratic, linear, constant[:, None]], 1).T.contiguous()
        cross = gaussians.covariances[:, self.absent[:, None], columns]
        self.regression = cross @ self._whitening.T @ self.precisions

    def whiten(self, values: Tensor) -> Tensor:
        white: Tensor = (values - self._centre) @ self._whitening.T
        return white

    def expand(self, values: Tensor) -> Tensor:
        white = self.whiten(values)
        features = white.new_ones(len(white), self.features)
        start = 0
        for i in range(len(self.columns)):
            end = start + len(self.columns) - i
            torch.mul(white[:, i : i + 1], white[:, i:], out=features[:, start:end])
            start = end
        features[:, start:-1] = white
        return features

    def remaining(self) -> Tensor:
        """``(K, M, M)``: covariances of the absent columns given the others."""
        absent = self.absent
        covariances = self._gaussians.covariances
        cross = covariances[:, self.columns[:, None], absent]
        left = covariances[:, absent[:, None], absent] - self.regression @ (self._whitening @ cross)
        symmetric: Tensor = (left + left.mT) / 2
        return symmetric


@dataclass(frozen=True, eq=False)
class PatternBlock(Block):
    """Rows that have the same columns, and the features of their values."""

    rows: Tensor
    marginal: _Marginal
    features: Tensor

    def log_densities(self) -> Tensor:
        return self.features @ self.marginal.coefficients

    def add(self, responsibilities: Tensor, statistics: Scatter) -> None:
        marginal, count = self.marginal, len(self.marginal.columns)
        sums = responsibilities.T @ self.features
        totals, means = sums[:, -1], marginal.means
        first, second = marginal.pairs
        squares = sums.new_zeros(len(sums), count, count)
        squares[:, first, second] = sums[:, : len(first)]
        squares[:, second, first] = sums[:, : len(first)]
        linear = sums[:, len(first) : -1]
        cross = linear[:, :, None] * means[:, None, :]
        about = squares - cross - cross.mT + totals[:, None, None] * means[:, :, None] * means[:, None, :]
        deviations = linear - totals[:, None] * means
        # From whitened values of these columns to expected values of all columns.
        maps = torch.cat([marginal.unwhiten.expand(len(sums), count, count), marginal.regression], 1)
        order = torch.cat([marginal.columns, marginal.absent])
        products = maps @ about @ maps.mT
        products[:, count:, count:] += totals[:, None, None] * marginal.remaining()
        statistics.counts.add_(totals)
        statistics.deviations[:, order] += (maps @ deviations[:, :, None])[:, :, 0]
        statistics.products[:, order[:, None], order] += products
