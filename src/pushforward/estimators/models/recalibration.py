"""Recalibration of an ensemble's predictive distributions, by rows that no member of it has seen.

The mean of several nets' densities is wider than each of them where their means differ, and a net that has learned its
training rows by heart is too narrow for others. Two factors mend both, chosen by the likelihood of the rows (Guo et
al., "On calibration of modern neural networks", 2017, scale by one temperature).
"""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from pushforward.array_types import Array
from pushforward.estimators.models.mixture_head import MixtureHead

# The range of either factor, and the precision of its logarithm and of a likelihood in nats a row.
_LEAST, _MOST, _PRECISION = 0.05, 4.0, 1e-3

Factor = Annotated[float, Field(ge=_LEAST, le=_MOST)]


class Recalibration(BaseModel):
    """Factors of the mixtures of Gaussians that the nets of an ensemble predict, the same for all rows.

    deviations: of the means of the nets' mixtures from the mean of all. widths: of the components.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    deviations: Factor = 1.0
    widths: Factor = 1.0

    def of(self, heads: MixtureHead) -> MixtureHead:
        """The recalibrated mixtures of each net, from those of all nets ``(nets, N, K)``."""
        own = (heads.log_weights.exp() * heads.means).sum(-1, keepdim=True)
        moved = (self.deviations - 1) * (own - own.mean(0, keepdim=True))
        return MixtureHead(heads.log_weights, heads.means + moved, heads.log_scales + math.log(self.widths))

    def of_one(self, head: MixtureHead) -> MixtureHead:
        """The recalibrated mixtures ``(N, K)`` of a model that is no ensemble."""
        return self.of(head.at(None)).at(0)


def recalibration(heads: MixtureHead, values: Tensor, weights: Tensor) -> Recalibration | None:
    """The factors of the highest likelihood of ``values: (N,)``, given the mixtures ``(nets, N, K)`` of all nets.

    weights: ``(N,)``. None if factors from one half of the rows do not raise the likelihood of the other,
    summed over both ways to choose the half.
    """
    halves = torch.arange(len(values)) % 2 == 0
    gain = 0.0
    for learning in (halves, ~halves):
        some, others = learning.nonzero()[:, 0], (~learning).nonzero()[:, 0]
        if not len(some) or not len(others):
            return None
        factors = _likeliest(heads.at((slice(None), some)), values[some], weights[some])
        given = heads.at((slice(None), others)), values[others], weights[others]
        gain += _log_likelihood(factors, *given) - _log_likelihood(Recalibration(), *given)
    return _likeliest(heads, values, weights) if gain > 0 else None


def _log_likelihood(factors: Recalibration, heads: MixtureHead, values: Tensor, weights: Tensor) -> float:
    each = factors.of(heads).log_density(values.expand(heads.means.shape[:2]))
    return float((each.logsumexp(0) * weights).sum())


def _likeliest(heads: MixtureHead, values: Tensor, weights: Tensor) -> Recalibration:
    from scipy.optimize import minimize

    several = len(heads.means) > 1

    def factors(logs: Array) -> Recalibration:
        widths, *deviations = np.exp(logs).clip(_LEAST, _MOST).tolist()
        return Recalibration(widths=widths, deviations=deviations[0] if several else 1.0)

    def loss(logs: Array) -> float:
        return -_log_likelihood(factors(logs), heads, values, weights)

    corners = np.concatenate([np.zeros((1, 1 + several)), -0.5 * np.eye(1 + several)])
    options = {"xatol": _PRECISION, "fatol": _PRECISION * len(values), "initial_simplex": corners}
    found = minimize(loss, corners[0], method="Nelder-Mead", options=options)
    return factors(found.x)
