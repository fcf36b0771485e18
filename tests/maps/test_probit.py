"""The probit of a logit and its inverse, and the mixture that is made normal by them."""

import mpmath
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from pushforward.errors import OptionError
from pushforward.maps import Affine, ProbitMixture, TanhScale, probit
from pushforward.maps.probit import logit_of_normal, probit_of_logit

# The middle, both sides of where the tail's formula begins, and the last before the straight lines.
_LOGITS = [-4.9e7, -1e6, -700.0, -80.5, -79.5, -20.0, -1.5, -1e-3, 0.3, 2.5, 37.0, 80.0, 81.0, 1e4]


def _hazard(t: mpmath.mpf) -> mpmath.mpf:
    return mpmath.npdf(t) / mpmath.ncdf(-t)


def _exact(u: float) -> tuple[float, float, float]:
    """The probit, the log of its slope and the derivative of that, by Newton's method on mpmath's normal law."""
    y = mpmath.findroot(
        lambda y: mpmath.log(mpmath.ncdf(y)) - mpmath.log(mpmath.ncdf(-y)) - abs(mpmath.mpf(u)),
        min(0.63 * abs(u), mpmath.sqrt(2 * abs(u))),
    )
    slope = mpmath.ncdf(y) / _hazard(y)
    bend = -(_hazard(y) - mpmath.npdf(y) / mpmath.ncdf(y) - y) * slope
    sign = 1 if u > 0 else -1
    return sign * float(y), float(mpmath.log(slope)), sign * float(bend)


@pytest.mark.parametrize(("dtype", "bar"), [(torch.float64, 1e-12), (torch.float32, 1e-6)], ids=str)
def test_probit_of_a_logit_is_that_of_mpmath_in_both_tails(dtype: torch.dtype, bar: float) -> None:
    with mpmath.workdps(30):
        wanted = torch.tensor([_exact(u) for u in _LOGITS], dtype=torch.float64).T
    u = torch.tensor(_LOGITS, dtype=dtype, requires_grad=True)
    y, log_slope = probit_of_logit(u)
    (bend,) = torch.autograd.grad(log_slope.sum(), u)
    torch.testing.assert_close(y.detach().double(), wanted[0], rtol=bar, atol=bar / 10)
    torch.testing.assert_close(log_slope.detach().double(), wanted[1], rtol=bar, atol=bar)
    torch.testing.assert_close(bend.double(), wanted[2], rtol=bar, atol=bar)
    back, log_slope_back = logit_of_normal(y)
    torch.testing.assert_close(back, u, rtol=bar, atol=bar)
    torch.testing.assert_close(log_slope_back, -log_slope, rtol=bar, atol=bar)


@pytest.mark.parametrize("function", [probit_of_logit, logit_of_normal])
def test_probit_and_logit_have_their_own_derivatives_of_first_and_second_order(function) -> None:  # type: ignore[no-untyped-def]
    x = torch.tensor([-90.0, -12.5, -11.0, -3.0, -0.1, 0.0, 2.0, 15.0], dtype=torch.float64, requires_grad=True)
    assert gradcheck(function, x)
    assert gradgradcheck(function, x)


@pytest.mark.parametrize(("plain", "own"), [(probit._logit, logit_of_normal), (probit._probit, probit_of_logit)])
def test_autograd_of_the_plain_formulas_which_a_compiler_sees_agrees(plain, own) -> None:  # type: ignore[no-untyped-def]
    x = torch.tensor([-1e30, -4e7, -81.0, -13.0, -2.0, 0.0, 1e-9, 0.3, 79.0, 1e19], dtype=torch.float64)
    x.requires_grad_(True)
    for one, other in zip(plain(x), own(x), strict=True):
        gradients = [torch.autograd.grad(result.sum(), x, retain_graph=True)[0] for result in (one, other)]
        torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("function", [probit_of_logit, logit_of_normal])
def test_probit_and_logit_are_finite_with_their_gradients(function, dtype: torch.dtype) -> None:  # type: ignore[no-untyped-def]
    ends = [0.0, 1e-45, 13.0, 80.0, 1e4, 5.1e7, 1e19, 1e30]
    x = torch.tensor([*ends, *(-end for end in ends)], dtype=dtype, requires_grad=True)
    results = function(x)
    gradients = [torch.autograd.grad(result.sum(), x, create_graph=True)[0] for result in results]
    seconds = [torch.autograd.grad(gradient.sum(), x, retain_graph=True)[0] for gradient in gradients]
    assert all(value.isfinite().all() for value in (*results, *gradients, *seconds))
    assert function(torch.tensor([torch.nan], dtype=dtype))[0].isnan().all()


def test_beyond_10000_the_probit_is_straight_and_goes_on_without_a_step() -> None:
    y = torch.tensor([9999.0, 10000.0, 10001.0, 2e4, 1e9], dtype=torch.float64)
    u, log_slope = logit_of_normal(y)
    assert torch.equal(log_slope[1:], log_slope[1].expand(4))
    torch.testing.assert_close(u[2:] - u[1], log_slope[1].exp() * (y[2:] - y[1]))
    torch.testing.assert_close(u[1] - u[0], torch.tensor(9999.5, dtype=torch.float64), atol=1e-3, rtol=0)
    torch.testing.assert_close(probit_of_logit(u)[0], y, rtol=1e-14, atol=0)


@pytest.mark.parametrize("components", [1, 2, 24])
def test_the_mixture_starts_near_the_identity_from_components_that_differ(components: int) -> None:
    made = ProbitMixture(components).double()
    x = torch.linspace(-3, 3, 61, dtype=torch.float64)
    y, log_slope = made(x, made.start[:, None].expand(-1, 61))
    assert (y - x).abs().max() <= (0.5 if components < 24 else 0.11)
    assert log_slope.abs().max() <= 0.5
    assert _all_differ(made.start[:, None], components)


@pytest.mark.parametrize("values", ["one", "two", "few rows"])
def test_components_differ_where_values_are_the_same(values: str) -> None:
    rows = {"one": torch.full((50, 1), 7.0), "two": torch.arange(50).reshape(50, 1) % 2.0, "few rows": torch.ones(1, 1)}
    made = ProbitMixture(9)
    params = made.start_from(rows[values])
    assert params.isfinite().all()
    assert _all_differ(params, 9)
    assert made(rows[values], params[:, None].expand(27, len(rows[values]), 1))[0].isfinite().all()


def _all_differ(params: Tensor, components: int) -> bool:
    means = params[components : 2 * components]
    return bool((means.diff(dim=0) > 0).all())


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (20.0, -300.0), (0.2, 5.0)])
def test_data_are_nearly_normal_at_a_start_from_them(scale: float, offset: float) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(4000, 2, generator=generator, dtype=torch.float64).square() + torch.tensor([0.0, 3.0])
    x = offset + scale * torch.cat([x[:2000], x[2000:] + 2])
    made = ProbitMixture()
    params = made.start_from(x)
    y, _ = made(x, params[:, None].expand(-1, *x.shape))
    levels = torch.linspace(0.1, 0.9, 21, dtype=torch.float64)
    reached = y.quantile(levels, 0)
    torch.testing.assert_close(reached, torch.special.ndtri(levels)[:, None].expand(-1, 2), atol=0.15, rtol=0)


def test_a_map_without_a_start_from_data_says_so() -> None:
    with pytest.raises(OptionError, match="Affine does not take its start from data"):
        Affine(TanhScale()).start_from(torch.zeros(3, 1))
    with pytest.raises(OptionError, match="components must be at least 1, got 0"):
        ProbitMixture(0)
