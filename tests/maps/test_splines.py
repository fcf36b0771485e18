"""Splines: every finite number, the ends, the seam of the circle, the layout in memory, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from pushforward.domain import Domain
from pushforward.errors import OptionError
from pushforward.maps import CubicSpline, Map, RationalQuadraticSpline
from pushforward.maps.knots import _own_bin, own_bin

_MAKES: dict[str, Callable[[], Map]] = {
    "linear tails": RationalQuadraticSpline,
    "two bins": lambda: RationalQuadraticSpline(2),
    "learned interval": lambda: RationalQuadraticSpline(learned_interval=True),
    "box": lambda: RationalQuadraticSpline(tails="box", domain=Domain("real", 0.1, 0.7)),
    "circular": lambda: RationalQuadraticSpline(tails="circular"),
    "small circle": lambda: RationalQuadraticSpline(5, tails="circular", domain=Domain("circle", 0, 1)),
    "cubic": CubicSpline,
}
_DTYPES = (torch.float32, torch.float64)


def _params(map: Map, shape: tuple[int, ...], size: float, dtype: torch.dtype = torch.float64) -> Tensor:
    normal = torch.randn(map.n_params, *shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return (size * (normal.sign() if size > 10 else normal)).to(dtype)


def _hostile(map: Map, params: Tensor) -> Tensor:
    """Ends and knots as computed in this dtype, one ulp around each, denormals, and numbers up to 1e30: (V, N)."""
    dtype = params.dtype
    low, high = getattr(map, "low", -3.0), getattr(map, "high", 3.0)
    bins = map.bins if hasattr(map, "bins") else 8
    parts = 1e-3 + (1 - 1e-3 * bins) * params[:bins].softmax(0)
    knots = torch.cat([torch.zeros_like(parts[:1]), parts.cumsum(0)])
    points = low + (high - low) * knots
    ulps = [torch.nextafter(points, torch.full_like(points, side)) for side in (-math.inf, math.inf)]
    plain = torch.tensor(
        [low, high, 0.0, -0.0, 1e-45, -1e-38, 1e3, -1e3, 1e10, -1e10, 1e30, -1e30, 0.123, 1.7], dtype=dtype
    )
    around = [torch.nextafter(plain[:2], torch.full((2,), side, dtype=dtype)) for side in (-math.inf, math.inf)]
    single = torch.cat([plain, *around])[:, None].expand(-1, params.shape[1])
    return torch.cat([points, *ulps, single])


@pytest.mark.parametrize("dtype", _DTYPES, ids=str)
@pytest.mark.parametrize("size", [0.0, 1.0, 50.0])
@pytest.mark.parametrize("name", _MAKES)
def test_value_slope_and_gradients_are_finite_for_every_finite_number(
    name: str, size: float, dtype: torch.dtype
) -> None:
    map = _MAKES[name]()
    columns = _params(map, (6,), size, dtype)
    v = _hostile(map, columns)
    params = columns[:, None].expand(-1, *v.shape).clone().requires_grad_(True)
    for direction in (map.forward, map.inverse):
        u = v.clone().requires_grad_(True)
        value, log_slope = direction(u, params)
        assert value.isfinite().all()
        inside = (u >= map.domain.low) & (u <= map.domain.high) | (map.domain.kind == "circle")
        assert log_slope[inside].isfinite().all()
        assert (log_slope[~inside] == -math.inf).all()
        total = 1e-3 * value.sum() + torch.where(log_slope.isfinite(), log_slope, 0.0).sum()
        gradients = torch.autograd.grad(total, (u, params))
        assert all(g.isfinite().all() for g in gradients)


@pytest.mark.parametrize("name", _MAKES)
@pytest.mark.parametrize("size", [1.0, 50.0])
def test_values_never_fall(name: str, size: float) -> None:
    map = _MAKES[name]()
    low, high = max(map.domain.low, -5.0), min(map.domain.high, 5.0)
    x = torch.linspace(low, high, 5000, dtype=torch.float64)[:-1, None].expand(-1, 4)
    params = _params(map, (1, 4), size)
    if map.domain.kind == "circle":
        params[-1] = 0  # not turned, so that no value passes the seam
    for direction in (map.forward, map.inverse):
        value, _ = direction(x, params.expand(-1, *x.shape))
        assert (value.diff(dim=0) >= -1e-13).all()


@pytest.mark.parametrize("dtype", _DTYPES, ids=str)
@pytest.mark.parametrize("name", _MAKES)
def test_start_is_the_identity(name: str, dtype: torch.dtype) -> None:
    map = _MAKES[name]()
    x = torch.linspace(max(map.domain.low, -9.0), min(map.domain.high, 9.0), 50, dtype=dtype)[1:-1]
    params = map.start.to(dtype)[:, None].expand(-1, len(x))
    tolerance = 8 * torch.finfo(dtype).eps
    for direction in (map.forward, map.inverse):
        value, log_slope = direction(x, params)
        torch.testing.assert_close(value, x, atol=tolerance, rtol=tolerance)
        assert log_slope.abs().max() <= 4 * tolerance


@pytest.mark.parametrize("name", _MAKES)
def test_log_slope_is_continuous_at_knots_and_ends(name: str) -> None:
    map = _MAKES[name]()
    low, high = max(map.domain.low, -6.0), min(map.domain.high, 6.0)
    x = torch.linspace(low, high, 400_001, dtype=torch.float64)[:-1, None]
    _, log_slope = map(x, _params(map, (1, 1), 0.5).expand(-1, *x.shape))
    assert log_slope.diff(dim=0).abs().max() <= 1e-3
    if map.domain.kind == "circle":
        assert (log_slope[0] - log_slope[-1]).abs() <= 1e-3


@pytest.mark.parametrize("size", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("name", [name for name in _MAKES if "circ" not in name])
def test_at_the_ends_and_beyond_float32_agrees_with_float64(name: str, size: float) -> None:
    map = _MAKES[name]()
    learned = name == "learned interval"
    unbounded = [-30.0, -9.0, 9.0, 30.0] if learned else [-30.0, -9.0, -3.0, 3.0, 9.0, 30.0]
    points = unbounded if math.isinf(map.domain.low) else [map.domain.low, map.domain.high]
    exact = torch.tensor(points, dtype=torch.float64)[:, None].expand(-1, 2000)
    params = _params(map, tuple(exact.shape), size, torch.float32)
    if learned:
        params[-4:] = torch.tensor([-0.25, 0.5, 0.125, -0.5])[:, None, None]  # all points stay outside
    x = exact.float()
    for direction, back in ((map.forward, map.inverse), (map.inverse, map.forward)):
        value, log_slope = direction(x, params)
        wanted, wanted_slope = direction(exact, params.double())
        torch.testing.assert_close(value.double(), wanted, atol=2e-6, rtol=1e-5)
        torch.testing.assert_close(log_slope.double(), wanted_slope, atol=1e-5, rtol=0)
        again, back_slope = back(value, params)
        # The value is rounded, and on the way back that counts as often as the slope is small.
        assert ((again - x).abs() <= 1e-6 * (x.abs() + value.abs() * (-log_slope).exp())).all()
        torch.testing.assert_close(back_slope, -log_slope, atol=1e-5, rtol=0)


@pytest.mark.parametrize("dtype", _DTYPES, ids=str)
@pytest.mark.parametrize("size", [0.0, 1.0, 50.0])
def test_bounds_of_a_box_map_to_the_bounds_exactly(size: float, dtype: torch.dtype) -> None:
    domain = Domain("real", 0.1, 0.7)
    map = RationalQuadraticSpline(7, tails="box", domain=domain)
    x = torch.tensor([domain.low, domain.high], dtype=dtype)[:, None].expand(2, 300)
    beyond = torch.tensor([-1e30, 1e30], dtype=dtype)[:, None].expand(2, 300)
    params = _params(map, (2, 300), size, dtype)
    for direction in (map.forward, map.inverse):
        assert torch.equal(direction(x, params)[0], x)
        assert torch.equal(direction(beyond, params)[0], x)
        assert (direction(beyond, params)[1] == -math.inf).all()
        inside, _ = direction(x + torch.tensor([[1e-3], [-1e-3]], dtype=dtype), params)
        assert ((inside >= x[:1]) & (inside <= x[1:])).all()


def test_gradient_at_the_bounds_of_a_box_is_the_slope_there() -> None:
    map = RationalQuadraticSpline(4, tails="box", domain=Domain("real", 0.1, 0.7))
    x = torch.tensor([0.1, 0.7], dtype=torch.float64, requires_grad=True)
    y, log_slope = map(x, _params(map, (2,), 1.0))
    (gradient,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(gradient, log_slope.exp())


def test_turns_of_the_circle_give_the_same_angle_inside_it() -> None:
    map = RationalQuadraticSpline(tails="circular")
    x = torch.linspace(-3.1, 3.1, 40, dtype=torch.float64)
    params = _params(map, (40,), 1.0)
    for direction in (map.forward, map.inverse):
        value, log_slope = direction(x, params)
        assert ((value >= -math.pi) & (value < math.pi)).all()
        turned, turned_slope = direction(x + 6 * math.pi, params)
        torch.testing.assert_close(turned, value, atol=1e-11, rtol=0)
        torch.testing.assert_close(turned_slope, log_slope, atol=1e-11, rtol=0)
    moved = params.clone()
    moved[-1] += 0.4
    turn = torch.remainder(map(x, moved)[0] - map(x, params)[0], 2 * math.pi)
    torch.testing.assert_close(turn, torch.full_like(turn, 0.4), atol=1e-11, rtol=0)


@pytest.mark.parametrize("name", _MAKES)
def test_layout_in_memory_changes_nothing(name: str) -> None:
    map = _MAKES[name]()
    x = torch.rand(7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 0.6 + 0.1
    params = _params(map, (7, 3), 1.0)
    innermost = params.transpose(1, 2).contiguous().transpose(1, 2)
    assert innermost.stride(1) == 1
    expanded = params[:, :1].expand(-1, 7, 3)
    for direction in (map.forward, map.inverse):
        for strided in (innermost, expanded):
            before = strided.clone()
            for got, wanted in zip(direction(x, strided), direction(x, strided.contiguous()), strict=True):
                torch.testing.assert_close(got, wanted, atol=1e-12, rtol=1e-12)
            assert torch.equal(strided, before)


@pytest.mark.parametrize("name", _MAKES)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 0), (1, 1), (2, 3, 2)], ids=str)
def test_any_shape_comes_back(name: str, shape: tuple[int, ...]) -> None:
    map = _MAKES[name]()
    x = torch.full(shape, 0.4, requires_grad=True)
    params = _params(map, shape, 1.0, torch.float32).requires_grad_(True)
    for direction in (map.forward, map.inverse):
        value, log_slope = direction(x, params)
        assert value.shape == log_slope.shape == shape
        (value.sum() + log_slope.sum()).backward()


@pytest.mark.parametrize("slopes", [3, 4, 5])
@pytest.mark.parametrize("axis", [0, 1])
def test_hand_written_gradient_of_a_bin_is_autograds(slopes: int, axis: int) -> None:
    generator = torch.Generator().manual_seed(1)
    t = torch.rand(30, 2, generator=generator, dtype=torch.float64)
    params = torch.randn(8 + slopes + 2, 30, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(3, 2, 30, 2, generator=generator, dtype=torch.float64)

    def derivatives(function: Callable[..., tuple[Tensor, ...]]) -> tuple[Tensor, Tensor, Tensor]:
        picked = function(t, params, 4, slopes, axis, 1e-3)
        total = sum((w * p.sin()).sum() for w, p in zip(weights, picked, strict=False))
        (fast,) = torch.autograd.grad(total, params, retain_graph=True)
        (first,) = torch.autograd.grad(total, params, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), params)
        return fast, first.detach(), second

    for got, wanted in zip(derivatives(own_bin), derivatives(_own_bin), strict=True):
        torch.testing.assert_close(got, wanted, atol=1e-13, rtol=1e-12)


def test_gradients_of_single_rows_by_vmap_are_those_of_a_loop() -> None:
    map = RationalQuadraticSpline(4)
    x = torch.linspace(-2.0, 2.0, 5, dtype=torch.float64)
    params = _params(map, (5,), 1.0)

    def log_slope(x: Tensor, params: Tensor) -> Tensor:
        return map(x, params)[1]

    got = torch.func.vmap(torch.func.grad(log_slope, argnums=1), in_dims=(0, 1))(x, params)
    for i in range(5):
        torch.testing.assert_close(got[i], torch.func.grad(log_slope, argnums=1)(x[i], params[:, i]))


def test_nan_stays_in_its_place() -> None:
    for make in _MAKES.values():
        map = make()
        x = torch.tensor([0.3, math.nan, 0.5])
        params = _params(map, (3,), 1.0, torch.float32)
        for direction in (map.forward, map.inverse):
            value, _ = direction(x, params)
            assert torch.equal(value.isnan(), torch.tensor([False, True, False]))


def test_slopes_of_a_wild_net_are_limited() -> None:
    map = RationalQuadraticSpline(4)
    for raw in (1e6, -1e6, 1e30, -1e30):
        x = torch.linspace(-4.0, 4.0, 31, requires_grad=True)
        params = torch.full((map.n_params, 31), raw, requires_grad=True)
        for direction in (map.forward, map.inverse):
            value, log_slope = direction(x, params)
            assert value.isfinite().all()
            assert log_slope.isfinite().all()
            gradients = torch.autograd.grad(value.sum() + log_slope.sum(), (x, params))
            assert all(g.isfinite().all() for g in gradients)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RationalQuadraticSpline(1), "at least 2 bins, got 1"),
        (lambda: RationalQuadraticSpline(8, min_width=0.2), r"min_width must be above 0 and below 1 / bins = 0.125"),
        (lambda: RationalQuadraticSpline(8, min_height=0.0), "min_height must be above 0"),
        (lambda: RationalQuadraticSpline(bound=0.0), "bound must be a finite number above 0, got 0"),
        (lambda: RationalQuadraticSpline(bound=math.inf), "bound must be a finite number above 0, got inf"),
        (lambda: RationalQuadraticSpline(min_slope=1.0), "min_slope must lie between 0 and 1, got 1"),
        (lambda: RationalQuadraticSpline(tails="round"), "'round' are not known; expected one of linear, box"),  # type: ignore[arg-type]
        (lambda: RationalQuadraticSpline(tails="box", learned_interval=True), "learned_interval goes with linear"),
        (lambda: RationalQuadraticSpline(domain=Domain("real", 0, 1)), "take no domain"),
        (lambda: RationalQuadraticSpline(tails="box", domain=Domain("real", 0)), "an interval with finite ends"),
        (lambda: RationalQuadraticSpline(tails="circular", domain=Domain("real", 0, 1)), "need a circle"),
        (lambda: CubicSpline(bound=math.nan), "bound must be a finite number above 0"),
    ],
)
def test_options_that_cannot_work_are_refused_by_name(make: Callable[[], Map], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        make()


def test_inner_bins_of_many_widths_are_found() -> None:
    # The bin that is found holds the value: checked by numpy's own search, on both axes.
    map = RationalQuadraticSpline(6, tails="box", domain=Domain("real", 0, 1))
    params = _params(map, (1, 500), 2.0).expand(-1, 40, -1)
    t = torch.rand(40, 500, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    for axis in (0, 1):
        *_, index = own_bin(t, params, 6, 7, axis, 1e-3)
        parts = 1e-3 + (1 - 6e-3) * params[6 * axis : 6 * axis + 6, 0].softmax(0)
        for column in range(0, 500, 25):
            inner = np.cumsum(parts[:-1, column].numpy())
            wanted = np.searchsorted(inner, t[:, column].numpy(), side="right")
            np.testing.assert_array_equal(index[:, column].numpy(), wanted)
