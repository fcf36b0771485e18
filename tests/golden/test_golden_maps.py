"""Maps and bases against their papers' formulas in 50 digits (mpmath), on the same numbers."""

import mpmath
import pytest
import torch
from torch import Tensor

from checking import golden
from pushforward.bases import StandardLogistic, StandardNormal
from pushforward.maps import Map
from registry import BY_NAME

mpmath.mp.dps = 50
_X = [-3.7, -0.4, 0.0, 1.3, 25.0]
_T = [0.3, -1.1, 2.0, 0.0, -7.5]
_RAW = [-4.0, -0.6, 0.0, 0.9, 6.0]
_RESCALE = 0.7


def _log_scale(name: str, raw: float) -> mpmath.mpf:
    raw = mpmath.mpf(raw)
    if name == "tanh":  # Real NVP, section 4.1: a hyperbolic tangent times a learned scale
        return mpmath.mpf(_RESCALE) * mpmath.tanh(raw)
    if name == "sigmoid":  # Glow, the authors' code: sigmoid(s + 2)
        return mpmath.log(1 / (1 + mpmath.exp(-(raw + 2))))
    limit = 5
    return raw / (1 + abs(raw) / limit)


def _map(name: str) -> Map:
    made = BY_NAME[name].make(torch.float64).double()
    assert isinstance(made, Map)
    for key, parameter in made.named_parameters():
        assert key == "log_scale.rescale"
        parameter.data.fill_(_RESCALE)
    return made


def _tensor(values: list[mpmath.mpf] | list[float]) -> Tensor:
    return torch.tensor([float(v) for v in values], dtype=torch.float64)


def _assert_equals(map: Map, params: Tensor, y: list[mpmath.mpf], log_slope: list[mpmath.mpf]) -> None:
    got, slope = map(_tensor(_X), params)
    torch.testing.assert_close(got, _tensor(y), atol=1e-10, rtol=1e-12)
    torch.testing.assert_close(slope, _tensor(log_slope), atol=1e-10, rtol=0)
    back, slope_back = map.inverse(_tensor(y), params)
    torch.testing.assert_close(back, _tensor(_X), atol=1e-10, rtol=1e-12)
    torch.testing.assert_close(slope_back, -_tensor(log_slope), atol=1e-10, rtol=0)


@golden("map: additive")
def test_additive_map_is_equation_of_nice() -> None:
    y = [mpmath.mpf(x) + mpmath.mpf(t) for x, t in zip(_X, _T, strict=True)]
    _assert_equals(_map("map: additive"), _tensor(_T)[None], y, [mpmath.mpf(0)] * 5)


@golden("map: affine, tanh", "map: affine, sigmoid", "map: affine, soft-clamp")
@pytest.mark.parametrize("name", ["tanh", "sigmoid", "soft-clamp"])
def test_affine_map_is_equation_4_of_real_nvp(name: str) -> None:
    s = [_log_scale(name, raw) for raw in _RAW]
    y = [mpmath.mpf(x) * mpmath.exp(si) + mpmath.mpf(t) for x, si, t in zip(_X, s, _T, strict=True)]
    _assert_equals(_map(f"map: affine, {name}"), torch.stack([_tensor(_T), _tensor(_RAW)]), y, s)


@golden("map: shifted scale, tanh", "map: shifted scale, sigmoid", "map: shifted scale, soft-clamp")
@pytest.mark.parametrize("name", ["tanh", "sigmoid", "soft-clamp"])
def test_shifted_scale_shifts_before_it_scales(name: str) -> None:
    s = [_log_scale(name, raw) for raw in _RAW]
    y = [(mpmath.mpf(x) + mpmath.mpf(t)) * mpmath.exp(si) for x, si, t in zip(_X, s, _T, strict=True)]
    _assert_equals(_map(f"map: shifted scale, {name}"), torch.stack([_tensor(_T), _tensor(_RAW)]), y, s)


@golden("map: scale, tanh", "map: scale, sigmoid", "map: scale, soft-clamp")
@pytest.mark.parametrize("name", ["tanh", "sigmoid", "soft-clamp"])
def test_scale_map_is_the_diagonal_scaling_of_nice(name: str) -> None:
    s = [_log_scale(name, raw) for raw in _RAW]
    y = [mpmath.mpf(x) * mpmath.exp(si) for x, si in zip(_X, s, strict=True)]
    _assert_equals(_map(f"map: scale, {name}"), _tensor(_RAW)[None], y, s)


@golden("base: logistic")
def test_logistic_base_is_the_prior_of_nice() -> None:
    # NICE, section 3.4: log p(h) = -log(1 + exp(h)) - log(1 + exp(-h)).
    values = [-700.0, -31.0, -0.2, 0.0, 5.0, 700.0]
    wanted = [-mpmath.log(1 + mpmath.exp(h)) - mpmath.log(1 + mpmath.exp(-h)) for h in values]
    got = StandardLogistic((1,)).log_prob(_tensor(values)[:, None])
    torch.testing.assert_close(got, _tensor(wanted), atol=1e-10, rtol=1e-13)


@golden("base: normal", "base: normal, one number")
def test_normal_base_is_the_normal_density() -> None:
    values = [-40.0, -1.5, 0.0, 0.1, 8.0]
    wanted = [-(mpmath.mpf(z) ** 2) / 2 - mpmath.log(2 * mpmath.pi) / 2 for z in values]
    torch.testing.assert_close(StandardNormal(()).log_prob(_tensor(values)), _tensor(wanted), atol=1e-10, rtol=1e-13)
    three = StandardNormal((3,)).log_prob(_tensor(values)[:, None].expand(5, 3))
    torch.testing.assert_close(three, 3 * _tensor(wanted), atol=1e-10, rtol=1e-13)
