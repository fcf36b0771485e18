"""Splines against the papers' formulas in 50 digits (mpmath), with the same raw parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import mpmath
import numpy as np
import pytest
import torch

from checking import golden
from pushforward.maps import Map
from registry import BY_NAME

mpmath.mp.dps = 50
mpf = mpmath.mpf
Numbers = Sequence[mpmath.mpf]
Point = tuple[mpmath.mpf, mpmath.mpf]  # value and slope
_LEAST = mpf("0.001")


def _softplus(raw: mpmath.mpf) -> mpmath.mpf:
    return mpmath.log(1 + mpmath.exp(raw))


def _softmax(raw: Numbers) -> list[mpmath.mpf]:
    total = sum(mpmath.exp(r) for r in raw)
    return [mpmath.exp(r) / total for r in raw]


def _sizes(raw: Numbers) -> list[mpmath.mpf]:
    """Parts of the unit interval, none below the least."""
    return [_LEAST + (1 - len(raw) * _LEAST) * part for part in _softmax(raw)]


def _knots(sizes: Numbers) -> list[mpmath.mpf]:
    return [sum(sizes[:k], mpf(0)) for k in range(len(sizes) + 1)]


def _at_least(raw: mpmath.mpf) -> mpmath.mpf:
    """A positive number that is 1 where ``raw`` is 0."""
    return _LEAST + _softplus(raw + mpmath.log(mpmath.exp(1 - _LEAST) - 1))


def _bin(x: mpmath.mpf, knots: Numbers) -> int:
    return max(k for k in range(len(knots) - 1) if k == 0 or knots[k] <= x)


def _rational_quadratic(x: mpmath.mpf, widths: Numbers, heights: Numbers, slopes: Numbers) -> Point:
    """Equations 4 and 5 of "Neural spline flows", between knots that start at (0, 0)."""
    xs, ys = _knots(widths), _knots(heights)
    k = _bin(x, xs)
    s = heights[k] / widths[k]
    xi = (x - xs[k]) / widths[k]
    denominator = s + (slopes[k + 1] + slopes[k] - 2 * s) * xi * (1 - xi)
    value = ys[k] + heights[k] * (s * xi**2 + slopes[k] * xi * (1 - xi)) / denominator
    numerator = s**2 * (slopes[k + 1] * xi**2 + 2 * s * xi * (1 - xi) + slopes[k] * (1 - xi) ** 2)
    return value, numerator / denominator**2


def _linear_tails(x: mpmath.mpf, raw: Numbers) -> Point:
    if abs(x) >= 3:
        return x, mpf(1)
    widths, heights = ([6 * size for size in _sizes(raw[i : i + 4])] for i in (0, 4))
    slopes = [mpf(1), *map(_at_least, raw[8:]), mpf(1)]
    value, slope = _rational_quadratic(x + 3, widths, heights, slopes)
    return value - 3, slope


def _learned_interval(x: mpmath.mpf, raw: Numbers) -> Point:
    """3 bins on an interval whose centres and sizes in x and y are the last four numbers; straight outside."""
    size_x, size_y = 6 * _at_least(raw[11]), 6 * _at_least(raw[13])
    low_x, low_y = raw[10] - size_x / 2, raw[12] - size_y / 2
    widths, heights = [size_x * part for part in _sizes(raw[:3])], [size_y * part for part in _sizes(raw[3:6])]
    slopes = [_at_least(r) * size_y / size_x for r in raw[6:10]]
    inside = min(max(x - low_x, mpf(0)), size_x)
    value, slope = _rational_quadratic(inside, widths, heights, slopes)
    return low_y + value + slope * (x - low_x - inside), slope


def _box(x: mpmath.mpf, raw: Numbers) -> Point:
    widths, heights = ([mpf("2.5") * size for size in _sizes(raw[i : i + 4])] for i in (0, 4))
    value, slope = _rational_quadratic(x + mpf("0.5"), widths, heights, [_at_least(r) for r in raw[8:]])
    return value - mpf("0.5"), slope


def _circular(x: mpmath.mpf, raw: Numbers) -> Point:
    """ "Normalizing flows on tori and spheres", section 2.1.3: equal slopes at the ends, and a phase."""
    circle = 2 * mpmath.pi
    widths, heights = ([circle * size for size in _sizes(raw[i : i + 4])] for i in (0, 4))
    slopes = [_at_least(r) for r in (*raw[8:12], raw[8])]
    value, slope = _rational_quadratic((x + mpmath.pi) % circle, widths, heights, slopes)
    return (value + raw[12]) % circle - mpmath.pi, slope


def _scaled(unit: Callable[[mpmath.mpf, Numbers], Point], x: mpmath.mpf, raw: Numbers) -> Point:
    """A function of the unit interval on [-3, 3], with the slopes at the ends outside."""
    t = (x + 3) / 6
    inside = min(max(t, mpf(0)), mpf(1))
    value, slope = unit(inside, raw)
    return 6 * (value + slope * (t - inside)) - 3, slope


def _cubic(x: mpmath.mpf, raw: Numbers) -> Point:
    """ "Cubic-spline flows", section 3: Hermite coefficients, slopes by Steffen's method."""

    def unit(t: mpmath.mpf, raw: Numbers) -> Point:
        w, h = _sizes(raw[:4]), _sizes(raw[4:8])
        s = [b / a for a, b in zip(w, h, strict=True)]
        d = [mpf(0)] * 5
        for k in range(1, 4):
            p = (s[k - 1] * w[k] + s[k] * w[k - 1]) / (w[k - 1] + w[k])
            d[k] = 2 * min(s[k - 1], s[k], p / 2)
        # Between the least and 3 less the least, in units of the chord; 1 for a raw 0.
        for end, r in ((0, raw[8]), (4, raw[9])):
            start = (1 - _LEAST) / (3 - 2 * _LEAST)
            fraction = 1 / (1 + (1 - start) / start * mpmath.exp(-r))
            d[end] = s[min(end, 3)] * (_LEAST + (3 - 2 * _LEAST) * fraction)
        xs, ys = _knots(w), _knots(h)
        k = _bin(t, xs)
        u = t - xs[k]
        a3 = (d[k] + d[k + 1] - 2 * s[k]) / w[k] ** 2
        a2 = (3 * s[k] - 2 * d[k] - d[k + 1]) / w[k]
        return ((a3 * u + a2) * u + d[k]) * u + ys[k], (3 * a3 * u + 2 * a2) * u + d[k]

    return _scaled(unit, x, raw)


_REFERENCES: dict[str, Callable[[mpmath.mpf, Numbers], Point]] = {
    "rational-quadratic spline, linear tails": _linear_tails,
    "rational-quadratic spline, learned interval": _learned_interval,
    "rational-quadratic spline, box": _box,
    "rational-quadratic spline, circular": _circular,
    "cubic spline": _cubic,
}


@golden(*(f"map: {name}" for name in _REFERENCES))
@pytest.mark.parametrize("name", _REFERENCES)
@pytest.mark.parametrize("size", [0.3, 1.5])
def test_spline_is_the_formula_of_its_paper(name: str, size: float) -> None:
    made = BY_NAME[f"map: {name}"].make(torch.float64)
    assert isinstance(made, Map)
    low, high = max(made.domain.low, -4.5), min(made.domain.high, 4.5)
    x = np.linspace(low, high, 46, endpoint=made.domain.kind != "circle")
    raw = size * np.random.default_rng(5).normal(size=(made.n_params, len(x)))
    wanted = [_REFERENCES[name](mpf(float(v)), [mpf(float(r)) for r in raw[:, i]]) for i, v in enumerate(x)]
    y = torch.tensor([float(value) for value, _ in wanted], dtype=torch.float64)
    log_slope = torch.tensor([float(mpmath.log(slope)) for _, slope in wanted], dtype=torch.float64)
    got, got_slope = made(torch.from_numpy(x), torch.from_numpy(raw))
    torch.testing.assert_close(got, y, atol=1e-10, rtol=0)
    torch.testing.assert_close(got_slope, log_slope, atol=1e-10, rtol=0)
    back, back_slope = made.inverse(y, torch.from_numpy(raw))
    torch.testing.assert_close(back, torch.from_numpy(x), atol=1e-10, rtol=0)
    torch.testing.assert_close(back_slope, -log_slope, atol=1e-9, rtol=0)
