"""Bernstein polynomials with increasing coefficients."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pushforward.maps.map import NumericMap
from pushforward.maps.slopes import positive_slope
from pushforward.option_checks import above_zero, at_least_one


class Bernstein(NumericMap):
    """``y = sum_m theta_m C(M, m) t^m (1 - t)^(M - m)`` with ``t = (x + bound) / (2 bound)``, linear beyond ``bound``.

    degree: M, at least 1. bound (> 0): outside ``[-bound, bound]`` the map continues linearly.

    params: c, then M raw slopes s. ``theta_0 = c - bound`` and ``theta_m = theta_(m-1) + s_m 2 bound / M`` with
    ``s = softplus(raw + const) + 0.001``, which is 1 at raw = 0: the slope of the map is the Bernstein polynomial of
    degree M - 1 whose coefficients are the s, and with all params at 0 the map is the identity. The inverse is numeric.

    Source: Ramasinghe, Fernando, Khan & Barnes, "Robust normalizing flows using Bernstein-type polynomials", 2021.
    Raises OptionError.

    >>> import torch
    >>> from pushforward.maps import Bernstein
    >>> map, x = Bernstein(degree=6), torch.tensor([-1.0, 1.0])
    >>> y, log_slope = map.forward(x, map.with_start(torch.zeros(map.n_params, 2)))
    >>> y.shape, log_slope.shape
    (torch.Size([2]), torch.Size([2]))
    """

    def __init__(self, degree: int = 10, bound: float = 5.0) -> None:
        super().__init__()
        self.degree, self.bound = at_least_one(degree, "degree"), above_zero(bound, "bound")
        self.n_params = degree + 1
        self.start = nn.Buffer(torch.zeros(self.n_params), persistent=False)

    def forward(self, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        slopes = positive_slope(params[1:])
        inside = x.clamp(-self.bound, self.bound)
        t, rest = (self.bound + inside) / (2 * self.bound), (self.bound - inside) / (2 * self.bound)
        rises = slopes.cumsum(0) * (2 * self.bound / self.degree)
        thetas = torch.cat([torch.zeros_like(rises[:1]), rises]) - self.bound
        slope = _casteljau(slopes, t, rest)
        return params[0] + _casteljau(thetas, t, rest) + slope * (x - inside), slope.log()


def _casteljau(coefficients: Tensor, t: Tensor, rest: Tensor) -> Tensor:
    """The polynomial with the Bernstein coefficients ``(M + 1, ...)`` at ``t`` in [0, 1]; rest: ``1 - t``.

    De Casteljau's rule takes only means of neighbours, so that rounding errors do not grow.
    """
    while coefficients.shape[0] > 1:
        coefficients = rest * coefficients[:-1] + t * coefficients[1:]
    return coefficients[0]
