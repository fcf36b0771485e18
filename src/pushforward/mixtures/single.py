"""Single Gaussians of all rows, from which a mixture grows: full covariances for few columns, factors for many."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from pushforward.mixtures.factors import Factors
from pushforward.mixtures.full_covariance import FullCovariance
from pushforward.mixtures.gaussians import Gaussians
from pushforward.mixtures.rows import MixtureRows, count_patterns

_SHRINKAGES = (1e-8, 1e-6, 1e-4, 1e-3, 1e-2, 0.03, 0.1, 0.3, 0.6, 0.9)
_FACTORS = (1, 3, 8, 16)
# Columns up to which only full covariances are tried, and the most operations on full ones, for all patterns of gaps in
# one step.
_FEW_COLUMNS, _MAX_PATTERN_WORK = 64, 1e8


def single_components(rows: MixtureRows) -> Iterator[Gaussians]:
    """Gaussians with the moments of all rows: of several shrinkages, or of several numbers of factors."""
    columns = rows.values.shape[1]
    mean, correlation, scale = _moments(rows)
    work = count_patterns(rows.present) * columns**3
    full = work <= _MAX_PATTERN_WORK
    if full:
        yield from _full(mean, correlation, scale, _spread(rows, scale))
    if columns > _FEW_COLUMNS or not full:
        yield from _low_rank(mean, correlation, scale, len(rows))


def _full(mean: Tensor, correlation: Tensor, scale: Tensor, spread: Tensor) -> Iterator[FullCovariance]:
    for shrinkage in _SHRINKAGES if len(mean) > 1 else _SHRINKAGES[:1]:
        shrunk = correlation * (1 - shrinkage)
        shrunk.diagonal().fill_(1.0)
        if torch.linalg.cholesky_ex(shrunk).info == 0:
            yield FullCovariance.single(mean, shrunk * scale[:, None] * scale, spread)


def _low_rank(mean: Tensor, correlation: Tensor, scale: Tensor, rows: int) -> Iterator[Factors]:
    """Principal factors of the correlations; what they leave of each column's variance is its noise."""
    variances, axes = torch.linalg.eigh(correlation)
    for count in _FACTORS:
        if count > max(1, min(len(mean), rows) // 2):
            return
        loadings = axes[:, -count:] * variances[-count:].clamp_min(0.0).sqrt()
        noise = (1 - loadings.square().sum(1)).clamp_min(0.05)
        yield Factors(mean[None], (loadings * scale[:, None])[None], (noise * scale.square())[None], scale.square())


def _moments(rows: MixtureRows) -> tuple[Tensor, Tensor, Tensor]:
    """Mean ``(D,)``, correlations and deviations of the values that are present; deviation 1 where they do not vary."""
    weights = rows.weights[:, None] * rows.present
    totals = weights.sum(0)
    mean = (weights * rows.values).sum(0) / totals.clamp_min(1e-300)
    centred = torch.where(rows.present, rows.values - mean, 0.0)
    variances = (weights * centred.square()).sum(0) / totals.clamp_min(1e-300)
    varies = variances.sqrt() > 1e-12 * mean.abs()
    scale = torch.where(varies, variances.sqrt(), 1.0)
    standard = torch.where(varies, centred / scale, 0.0)
    # A gap counts as a product of 0, so that correlations of columns with gaps do not contradict each other.
    size = totals.clamp_min(1e-300).sqrt()
    correlation = standard.T @ (rows.weights[:, None] * standard) / (size[:, None] * size)
    correlation.diagonal().fill_(1.0)
    return mean, correlation, scale


def _spread(rows: MixtureRows, scale: Tensor) -> Tensor:
    """``(D,)``: the deviation of a Gaussian with the quartiles of each column, or ``scale`` where these are equal."""
    spread = scale.clone()
    for column in range(len(scale)):
        known = rows.present[:, column]
        values, order = rows.values[known, column].sort()
        ranks = rows.weights[known][order].cumsum(0)
        if len(ranks):
            lower, upper = values[torch.searchsorted(ranks, ranks[-1] * torch.tensor([0.25, 0.75]).double())]
            spread[column] = (upper - lower) / 1.349 if upper > lower else scale[column]
    return spread
