"""Sum-of-squares polynomials: integrals of a positive polynomial, hence monotone."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from pushforward.maps.affine import SoftClampScale
from pushforward.maps.map import NumericMap
from pushforward.maps.slopes import LEAST_SLOPE
from pushforward.option_checks import above_zero, at_least_one

_SPREAD = 0.1


class SumOfSquares(NumericMap):
    """``y = c + integral from 0 to x of 0.001 + sum_k (sum_l a_kl (u / bound)^l)^2 du``, linear beyond ``bound``.

    polynomials: number of squares in the sum. degree: of each squared polynomial, so that y has degree ``2 degree +
    1``. bound (> 0): outside ``[-bound, bound]`` the map continues linearly, with its slope at the end.

    params: ``polynomials * (degree + 1)`` rows of raw a, polynomial by polynomial, then c; slopes stay finite because
    ``a = raw / (1 + |raw| / 16)``. Powers of ``u / bound`` replace the paper's powers of ``u``, so that the
    coefficients are of similar size. At the start the polynomials differ by cosines of size 0.1 in k, which cancel to
    first order: the slope is 1 to within a few hundredths. The inverse is numeric.

    Source: Jaini, Selby & Yu, "Sum-of-squares polynomial flow", 2019. Raises OptionError.

    >>> import torch
    >>> from pushforward.maps import SumOfSquares
    >>> map = SumOfSquares(polynomials=2, degree=2)
    >>> map.forward(torch.zeros(5), torch.randn(map.n_params, 5))[0].shape
    torch.Size([5])
    """

    def __init__(self, polynomials: int = 5, degree: int = 3, bound: float = 5.0) -> None:
        super().__init__()
        self.polynomials = at_least_one(polynomials, "polynomials")
        self.degree = at_least_one(degree, "degree")
        self.bound = above_zero(bound, "bound")
        self.n_params = polynomials * (degree + 1) + 1
        self.bounded = SoftClampScale(16.0)
        self.start = nn.Buffer(self._start(), persistent=False)
        # Gauss's rule with degree + 1 nodes is exact for degree 2 degree + 1, and a sum of positive terms.
        nodes, weights = np.polynomial.legendre.leggauss(degree + 1)
        self._rule = tuple(zip(((1 + nodes) / 2).tolist(), (weights / 2).tolist(), strict=True))

    def _start(self) -> Tensor:
        """Raw coefficients: the constant ones sum to a slope of 1, the others are columns of a cosine transform."""
        k, columns = self.polynomials, self.degree + 1
        phase = math.pi * (torch.arange(k, dtype=torch.float64) + 0.5) / k
        wanted = _SPREAD * (phase[:, None] * torch.arange(columns)).cos()
        wanted[:, 0] = math.sqrt(1 - LEAST_SLOPE)
        wanted = wanted / math.sqrt(k)
        raw = wanted / (1 - wanted.abs() / self.bounded.limit)
        return torch.cat([raw.flatten(), raw.new_zeros(1)]).float()

    def forward(self, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        coefficients = self.bounded(params[:-1]).unflatten(0, (self.polynomials, self.degree + 1)).unbind(1)
        inside = x.clamp(-self.bound, self.bound)
        t = inside / self.bound
        mean_slope = sum(weight * _slope(coefficients, node * t) for node, weight in self._rule)
        slope = _slope(coefficients, t)
        return params[-1] + mean_slope * inside + slope * (x - inside), slope.log()


def _slope(coefficients: tuple[Tensor, ...], t: Tensor) -> Tensor:
    """The slope at ``t: (...)``; coefficients: one tensor ``(K, ...)`` for each power, from the lowest."""
    value = coefficients[-1]
    for coefficient in reversed(coefficients[:-1]):
        value = value * t + coefficient
    return LEAST_SLOPE + value.square().sum(0)
