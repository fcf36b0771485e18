"""The map of gaussianization flows against its formula in mpmath, with the digits that both tails need."""

import mpmath
import numpy as np
import torch

from checking import golden
from pushforward.maps import ProbitMixture
from registry import BY_NAME

# Also where a sigmoid is 1 in float64, and y is not yet -40 or 40.
_X = [-750.0, -30.0, -1.2, -0.3, 0.0, 0.7, 1.4, 12.5, 400.0]


def _probit(p: mpmath.mpf) -> mpmath.mpf:
    """``Phi^-1(p)`` for p <= 1/2, by bisection on the log of Phi."""
    low, high = mpmath.mpf(-100), mpmath.mpf(0)
    for _ in range(160):
        middle = (low + high) / 2
        low, high = (middle, high) if mpmath.ncdf(middle) < p else (low, middle)
    return (low + high) / 2


def _value_and_log_slope(x: float, column: np.ndarray) -> tuple[float, float]:
    logits, means, raw = ([mpmath.mpf(float(v)) for v in part] for part in np.split(column, 3))
    scales = [mpmath.exp(r / (1 + abs(r) / 5)) for r in raw]
    weights = [mpmath.exp(logit) for logit in logits]
    u = [(mpmath.mpf(x) - m) / s for m, s in zip(means, scales, strict=True)]
    below = sum(w / (1 + mpmath.exp(-v)) for w, v in zip(weights, u, strict=True)) / sum(weights)
    above = sum(w / (1 + mpmath.exp(v)) for w, v in zip(weights, u, strict=True)) / sum(weights)
    density = sum(
        w / s / ((1 + mpmath.exp(-v)) * (1 + mpmath.exp(v))) for w, s, v in zip(weights, scales, u, strict=True)
    ) / sum(weights)
    y = _probit(below) if below < above else -_probit(above)
    return float(y), float(mpmath.log(density) - mpmath.log(mpmath.npdf(y)))


@golden("map: probit mixture")
def test_probit_mixture_is_the_normal_quantile_of_the_mixture() -> None:
    made = BY_NAME["map: probit mixture"].make(torch.float64).double()
    assert isinstance(made, ProbitMixture)
    params = np.random.default_rng(0).standard_normal((made.n_params, len(_X)))
    with mpmath.workdps(40):
        wanted = [_value_and_log_slope(x, params[:, i]) for i, x in enumerate(_X)]
    y, log_slope = (torch.tensor(column, dtype=torch.float64) for column in zip(*wanted, strict=True))
    x, rows = torch.tensor(_X, dtype=torch.float64), torch.from_numpy(params)
    got, slope = made(x, rows)
    torch.testing.assert_close(got, y, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(slope, log_slope, atol=1e-10, rtol=0)
    back, slope_back = made.inverse(y, rows)
    torch.testing.assert_close(back, x, atol=1e-10, rtol=1e-12)
    torch.testing.assert_close(slope_back, -log_slope, atol=1e-10, rtol=0)
