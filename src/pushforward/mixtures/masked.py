"""Marginals and conditionals of Gaussians in which each row has its own gaps, as one batch of masked matrices."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from pushforward.mixtures.gaussians import Block


class MaskedBlock(Block):
    """Rows of many patterns of gaps.

    Every matrix has all D columns. Those of a gap are independent of the others and of variance 1 in a covariance, and
    0 in a precision.
    """

    def __init__(
        self,
        rows: Tensor,
        values: Tensor,
        masks: Tensor,
        pattern: Tensor,
        means: Tensor,
        covariances: Tensor,
        unit: Tensor,
    ) -> None:
        """Rows ``values: (n, D)`` of which ``masks: (P, D)``, at ``pattern: (n,)``, tell the columns that are present.

        means, covariances: of the K components. unit: ``(D,)``, the deviations of the columns.
        """
        self.rows, self._pattern, self._unit = rows, pattern, unit
        self._covariances = covariances / (unit[:, None] * unit)
        known = masks.double()
        self._precisions, log_scales = masked_precisions(self._covariances[None], known[:, None])
        mask = known[pattern]
        self._log_scales = log_scales[pattern] + (mask @ unit.log())[:, None]
        self._counts = mask.sum(1)
        # (n, K, D), in the columns' units.
        self._deviations = (values[:, None] - means) / unit * mask[:, None]
        self._weighted = (self._precisions[pattern] @ self._deviations[..., None])[..., 0]

    def log_densities(self) -> Tensor:
        distances = (self._weighted * self._deviations).sum(2)
        return -0.5 * (distances + (self._counts * math.log(2 * math.pi))[:, None]) - self._log_scales

    def add(self, responsibilities: Tensor, statistics: Any) -> None:
        count = len(self._precisions)
        totals = responsibilities.new_zeros(count, responsibilities.shape[1])
        totals.index_add_(0, self._pattern, responsibilities)
        # Expected deviations of all columns, by component: (K, n, D).
        expected = self._weighted.movedim(1, 0) @ self._covariances
        weights = responsibilities.T[..., None]
        products = (weights * expected).mT @ expected
        precision = torch.einsum("pk,pkij->kij", totals, self._precisions)
        left = totals.sum(0)[:, None, None] * self._covariances - self._covariances @ precision @ self._covariances
        statistics.counts.add_(totals.sum(0))
        statistics.deviations.add_((weights * expected).sum(1) * self._unit)
        statistics.products.add_((products + left) * self._unit[:, None] * self._unit)


def masked_precisions(covariances: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Precisions ``(..., D, D)`` of the known columns, 0 elsewhere, and half the log-determinants of the covariances.

    covariances: ``(..., D, D)``. known: ``(..., D)``, 1 where a column is known, else 0.
    """
    pairs = known[..., :, None] * known[..., None, :]
    masked = covariances * pairs + torch.diag_embed(1 - known)
    factors = torch.linalg.cholesky(masked)
    log_scales = factors.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return torch.cholesky_inverse(factors) * pairs, log_scales


def conditional_draws(
    values: Tensor, present: Tensor, means: Tensor, factors: Tensor, pair: Tensor, masks: Tensor, noise: Tensor
) -> Tensor:
    """Rows ``values: (n, D)`` with absent values drawn given those that are present, by Matheron's rule.

    A draw of all columns is corrected by the regression of the absent ones on the error of the others. ``pair: (n,)``
    tells the pattern ``masks: (P, D)`` and the component, of ``means: (P, D)`` and Cholesky factors ``(P, D, D)``, of
    each row. noise: ``(n, D)``, standard Gaussian.
    """
    covariances = factors @ factors.mT
    precisions, _ = masked_precisions(covariances, masks.double())
    regression = covariances @ precisions
    every = means[pair] + (factors[pair] @ noise[..., None])[..., 0]
    error = torch.where(present, values - every, 0.0)
    return torch.where(present, values, every + (regression[pair] @ error[..., None])[..., 0])
