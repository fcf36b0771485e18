"""The shared numeric inverse: it finds the root, to the last digits, and its derivatives are those of the inverse."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from pushforward.domain import UNIT, Domain
from pushforward.errors import NumericsError
from pushforward.maps.numeric import Increasing, Search, invert


def _sinh(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.sinh(), x.cosh().log()


def _cubic(x: Tensor) -> tuple[Tensor, Tensor]:
    """Slope 1e-6 at 0: flat where Newton starts, steep far out."""
    return x**3 + 1e-6 * x, (3 * x**2 + 1e-6).log()


def _bent(x: Tensor) -> tuple[Tensor, Tensor]:
    """Slopes 1e-3 and 1e3 on the two sides of 5, on which Newton's steps overshoot."""
    return torch.where(x < 5, 1e-3 * (x - 5), 1e3 * (x - 5)), torch.where(x < 5, math.log(1e-3), math.log(1e3)).to(x)


def _shift(x: Tensor) -> tuple[Tensor, Tensor]:
    return x - 1e4, torch.zeros_like(x)


@pytest.mark.parametrize("function", [_cubic, _bent, _shift])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_root_is_found_however_far_or_flat(function: Increasing, dtype: torch.dtype) -> None:
    y = torch.tensor([[-1e30, -1e6, -3.0, -1e-3, 0.0], [1e-3, 1.0, 4.0, 1e6, 1e30]], dtype=dtype)
    with torch.no_grad():
        x, log_slope = invert(function, y)
        value, forward_slope = function(x)
    # As near as neighbouring numbers x let the value come.
    eps = torch.finfo(dtype).eps
    assert ((value - y).abs() <= 8 * eps * (y.abs() + x.abs() * forward_slope.exp() + 1e-3)).all()
    torch.testing.assert_close(log_slope, -forward_slope)
    assert x.dtype == dtype


def test_matches_a_closed_form_to_the_last_digits() -> None:
    y = torch.linspace(-50, 50, 401, dtype=torch.float64)
    x, log_slope = invert(_sinh, y)
    torch.testing.assert_close(x, y.asinh(), atol=1e-15, rtol=4e-16)
    torch.testing.assert_close(log_slope, -0.5 * (1 + y**2).log(), atol=1e-14, rtol=0)


def test_derivatives_of_first_and_second_order_are_those_of_the_inverse() -> None:
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(3, 2, dtype=torch.float64, generator=generator).requires_grad_(True)
    scale = (1 + torch.rand(3, 2, dtype=torch.float64, generator=generator)).requires_grad_(True)

    def inverse(y: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        return invert(lambda x: (x + scale * x.tanh(), (1 + scale * (1 - x.tanh() ** 2)).log()), y)

    assert torch.autograd.gradcheck(inverse, (y, scale))
    assert torch.autograd.gradgradcheck(inverse, (y, scale))


def test_derivatives_match_a_closed_form() -> None:
    y = torch.linspace(-5, 5, 11, dtype=torch.float64, requires_grad=True)
    x, _ = invert(_sinh, y)
    (first,) = torch.autograd.grad(x.sum(), y, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), y)
    torch.testing.assert_close(first, (1 + y**2).rsqrt(), atol=1e-14, rtol=1e-13)
    torch.testing.assert_close(second, -y * (1 + y**2) ** -1.5, atol=1e-13, rtol=1e-12)


def test_bounded_and_half_bounded_domains() -> None:
    y = torch.tensor([0.0, 1e-12, 0.3, 0.999999, 1.0, 1.5], dtype=torch.float64)
    with torch.no_grad():
        x, _ = invert(lambda u: (u**3, (3 * u**2).log()), y, UNIT)
        torch.testing.assert_close(x[:5], y[:5] ** (1 / 3), atol=1e-7, rtol=1e-12)
        assert x[5] == pytest.approx(1.0, abs=1e-12)
        half, _ = invert(lambda u: (u.log(), -u.log()), y * 40 - 5, Domain("real", 0.0, math.inf))
    torch.testing.assert_close(half, (y * 40 - 5).exp(), atol=0, rtol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("low", [0.0, 3.0])
def test_roots_near_an_end_are_as_accurate_as_numbers_there_are(low: float, dtype: torch.dtype) -> None:
    # x = low + y**10, from 1 down to where numbers near the end cannot tell it from the end.
    y = torch.linspace(0.01, 1.0, 100, dtype=dtype)
    exact = y.double() ** 10

    def power(x: Tensor) -> tuple[Tensor, Tensor]:
        room = (x - low).clamp(min=torch.finfo(dtype).tiny)
        return room**0.1, -0.9 * room.log() + math.log(0.1)

    for domain in (Domain("real", low, math.inf), Domain("real", low, low + 2)):
        with torch.no_grad():
            x, _ = invert(power, y, domain)
        room = x.double() - low
        bar = 1e3 * torch.finfo(dtype).eps
        assert ((room - exact).abs() <= bar * exact + 4 * torch.finfo(dtype).eps * low).all()


def test_a_root_that_is_none_is_noticed() -> None:
    def jumps(x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.where(x < 1, x, x + 5), torch.zeros_like(x)

    with pytest.raises(NumericsError, match=r"no root in 1 of 2 rows \(rows 1\)"):
        invert(jumps, torch.tensor([0.5, 3.0]))


def test_nan_and_infinities_stay_in_their_own_place() -> None:
    y = torch.tensor([math.nan, math.inf, -math.inf, 2.0])
    with torch.no_grad():
        x, _ = invert(_sinh, y)
    assert x[0].isnan()
    assert x[1] == math.inf
    assert x[2] == -math.inf
    assert x[3] == pytest.approx(math.asinh(2.0))
    parameter = torch.tensor([1.0, math.nan, 1.0])
    with torch.no_grad():
        x, _ = invert(lambda x: (parameter * x, parameter.log()), torch.ones(3))
    assert x.isnan().tolist() == [False, True, False]


def test_rows_without_a_root_are_named() -> None:
    y = torch.tensor([[0.5, 0.1], [0.2, 3.0], [0.0, 0.0], [-2.0, 0.0]])
    with pytest.raises(NumericsError, match=r"no root in 2 of 4 rows \(rows 1, 3\)"):
        invert(lambda x: (x.tanh(), -2 * x.cosh().log()), y)


@pytest.mark.parametrize("shape", [(0, 3), (1,), (2, 3, 4), ()])
def test_any_shape_will_do(shape: tuple[int, ...]) -> None:
    x, log_slope = invert(_sinh, torch.ones(shape))
    assert x.shape == log_slope.shape == shape


def test_compiled_loop_equals_the_eager_one() -> None:
    torch._dynamo.reset()
    y = torch.randn(6, 3, generator=torch.Generator().manual_seed(1)) * 100

    def run(y: Tensor) -> tuple[Tensor, Tensor]:
        return invert(_sinh, y)

    compiled: Callable[[Tensor], tuple[Tensor, Tensor]] = torch.compile(run, fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        for rows in (6, 4, 3):
            torch.testing.assert_close(compiled(y[:rows]), run(y[:rows]))
    torch._dynamo.reset()


def test_a_faster_function_and_a_bracket_lead_to_the_same_root() -> None:
    y = torch.linspace(-40, 40, 101, dtype=torch.float64)
    calls = []

    def coarse(x: Tensor) -> tuple[Tensor, Tensor]:
        calls.append(len(x))
        return x.sinh(), x.float().cosh().log().double()

    search = Search(coarse, lambda y: (y.asinh() - 2, y.asinh() + 3))
    with torch.no_grad():
        x, log_slope = invert(_sinh, y, search=search)
        wanted, expected = invert(_sinh, y)
    assert calls
    torch.testing.assert_close(x, wanted, atol=1e-15, rtol=4e-16)
    torch.testing.assert_close(log_slope, expected, atol=1e-14, rtol=0)


def test_a_bracket_without_the_root_is_noticed() -> None:
    search = Search(_sinh, lambda y: (y - 2, y - 1))
    with pytest.raises(NumericsError, match=r"no root in 1 of 1 rows"):
        invert(_sinh, torch.zeros(1), search=search)
