"""The kernel of mixtures of logistics against the same formulas in torch's operations."""

import math
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest
import torch
from torch import Tensor

from pushforward.errors import NumericsError
from pushforward.kernels.library import library
from pushforward.kernels.mixture import MOST_COMPONENTS
from pushforward.maps import DeepSigmoidal, LogisticMixture, ProbitMixture
from pushforward.maps.map import Map

pytestmark = pytest.mark.skipif(library() is None, reason="the kernels were not built or are turned off")

_MAKES: list[type[LogisticMixture] | type[DeepSigmoidal] | type[ProbitMixture]] = [
    LogisticMixture,
    DeepSigmoidal,
    ProbitMixture,
]
_DTYPES = (torch.float32, torch.float64)


@contextmanager
def _formulas() -> Iterator[None]:
    """The maps in torch's operations."""
    with mock.patch("pushforward.kernels.mixture.takes_mixture", return_value=False):
        yield


def _inputs(map: Map, *shape: int, seed: int = 0, size: float = 1.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    params = size * torch.randn(map.n_params, *shape, generator=generator, dtype=torch.float64)
    return 4 * torch.randn(*shape, generator=generator, dtype=torch.float64), params


def _results(map: Map, x: Tensor, params: Tensor, back: bool = False) -> list[Tensor]:
    """Value, log-slope and gradients by values and params."""
    x, params = x.detach().requires_grad_(), params.detach().requires_grad_()
    out = map.inverse(x, params) if back else map.forward(x, params)
    weights = torch.linspace(-1, 1, x.numel()).to(x).view(x.shape)
    return [*out, *torch.autograd.grad((weights * out[0]).sum() + (weights.cos() * out[1]).sum(), (x, params))]


@pytest.mark.parametrize("dtype", _DTYPES, ids=str)
@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("make", _MAKES)
def test_values_and_gradients_are_those_of_the_formulas(
    make: type[LogisticMixture], back: bool, dtype: torch.dtype
) -> None:
    for components, shape in ((1, (1,)), (2, (7, 5)), (8, (4, 300)), (17, (2, 3, 11)), (MOST_COMPONENTS, (19,))):
        map = make(components)
        x, params = (each.to(dtype) for each in _inputs(map, *shape))
        ours = _results(map, x, params, back)
        with _formulas():
            exact = _results(map, x.double(), params.double(), back)
        # Gradients of a root have the error of the slope in addition to that of the root.
        tolerance = 1e-11 if dtype == torch.float64 else 4e-4 if back else 2e-5
        for own, wanted in zip(ours, exact, strict=True):
            assert own.dtype == dtype
            torch.testing.assert_close(own.double(), wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", _DTYPES, ids=str)
@pytest.mark.parametrize("make", _MAKES)
def test_values_round_as_the_formulas_do(make: type[LogisticMixture], dtype: torch.dtype) -> None:
    map = make(8)
    x, params = (each.to(dtype) for each in _inputs(map, 20_000, seed=1))
    exact = map.forward(x.double(), params.double())
    ours = map.forward(x, params)
    with _formulas():
        plain = map.forward(x, params)
    least = torch.finfo(dtype).eps
    for own, other, wanted in zip(ours, plain, exact, strict=True):
        errors = [((each.double() - wanted).abs() / (1 + wanted.abs())).mean() for each in (own, other)]
        assert errors[0] <= 1.1 * errors[1] + 0.1 * least
        assert errors[0] <= (1e-6 if dtype == torch.float32 else 4 * least)


@pytest.mark.parametrize("dtype", _DTYPES, ids=str)
@pytest.mark.parametrize("make", _MAKES)
def test_far_out_and_with_extreme_params_the_formulas_hold(make: type[LogisticMixture], dtype: torch.dtype) -> None:
    """Gaps between components, components of weight e^-300, scales of e^-5 and e^5, and values of 1e20."""
    map = make(4)
    _, params = _inputs(map, 40, seed=2, size=30.0)
    params[:4] *= 10
    x = torch.tensor([-1e20, -1e6, -300.0, -40.0, -1.0, 0.0, 30.0, 5e3, 1e9, 1e20], dtype=torch.float64).repeat(4)
    x, params = x.to(dtype), params.to(dtype)
    ours = _results(map, x, params)
    with _formulas():
        exact, plain = _results(map, x.double(), params.double()), _results(map, x, params)
    bar = 1e-10 if dtype == torch.float64 else 1e-6
    for own, other, wanted in zip(ours, plain, exact, strict=True):
        errors = [((each.double() - wanted).abs() / wanted.abs().clamp(min=1)).max() for each in (own, other)]
        assert errors[0] <= 1.2 * errors[1] + bar
    with torch.no_grad():
        back = map.inverse(ours[0].detach(), params)[0]
        again = map.forward(back, params)[0]
    eps, size = torch.finfo(dtype).eps, ours[0].detach().abs()
    room = 16 * eps * (1 + size + back.abs() * ours[1].detach().clamp(max=60).exp())
    assert ((again - ours[0].detach()).abs() <= room.maximum(1e-3 * eps**0.5 * size)).all()


@pytest.mark.parametrize("make", _MAKES)
def test_the_inverse_is_as_exact_as_that_by_formulas(make: type[LogisticMixture]) -> None:
    map = make(8)
    for dtype in _DTYPES:
        y, params = (each.to(dtype) for each in _inputs(map, 5_000, seed=3, size=2.0))
        exact = map.inverse(y.double(), params.double())
        with torch.no_grad():
            ours = map.inverse(y, params)
            with _formulas():
                plain = map.inverse(y, params)
        for own, other, wanted in zip(ours, plain, exact, strict=True):
            errors = [((each.double() - wanted).abs() / (1 + wanted.abs())).mean() for each in (own, other)]
            assert errors[0] <= 1.2 * errors[1] + 0.1 * torch.finfo(dtype).eps


@pytest.mark.parametrize("make", _MAKES)
@pytest.mark.parametrize("back", [False, True])
def test_nan_and_infinity_pass_as_in_the_formulas(make: type[LogisticMixture], back: bool) -> None:
    map = make(3)
    x = torch.tensor([math.nan, math.inf, -math.inf, 0.3, 0.3, 0.3, 0.3], dtype=torch.float64)
    params = torch.zeros(map.n_params, len(x), dtype=torch.float64)
    params[1, 3] = math.nan  # a weight
    params[1, 4] = -math.inf
    params[4, 5] = math.nan  # a mean, or a rate
    params[7, 6] = math.nan
    direction = map.inverse if back else map.forward
    with torch.no_grad():
        ours = direction(x, params)
        with _formulas():
            exact = direction(x, params)
    for own, wanted in zip(ours, exact, strict=True):
        torch.testing.assert_close(own, wanted, equal_nan=True)


def test_strides_and_shared_params_are_taken() -> None:
    map = ProbitMixture(3)
    x, _ = _inputs(map, 6, 40)
    wide = _inputs(map, 40, 6)[1].movedim(0, -1).contiguous()
    shared = _inputs(map, 40, seed=4)[1]
    for values, params in (
        (x.t(), wide.movedim(-1, 0)),
        (x[::2, ::3], shared[:, None, :14]),  # one set of params for each column
        (x[:, None], shared[:, None, None]),
        (x[::2, ::3], shared[:, None, :1].expand(-1, 3, 14)),
        (x, shared[:, :1, None]),  # for all elements
        (x[:0], shared[:, None]),
        (x.t(), shared[:, :, None]),  # one set for each row, which the kernel does not take
    ):
        ours = _results(map, values, params)
        with _formulas():
            exact = _results(map, values, params)
        for own, wanted in zip(ours, exact, strict=True):
            assert own.shape == wanted.shape
            torch.testing.assert_close(own, wanted, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("make", _MAKES)
def test_second_derivatives_are_those_of_the_formulas(make: type[LogisticMixture]) -> None:
    map = make(2)
    x, params = (each.requires_grad_() for each in _inputs(map, 4, seed=5))
    for direction in (map.forward, map.inverse):
        assert torch.autograd.gradcheck(direction, (x, params))
        assert torch.autograd.gradgradcheck(direction, (x, params))
    if map.broadcasts:
        shared = params.detach()[:, None, :3].requires_grad_()
        assert torch.autograd.gradgradcheck(map.forward, (_inputs(map, 4, 3)[0].requires_grad_(), shared))


@pytest.mark.parametrize("rows", [3, 3_000])
def test_threads_do_not_change_a_bit(rows: int) -> None:
    map = ProbitMixture(5)
    x, params = (each.float() for each in _inputs(map, rows, 4, seed=6))
    results = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            own, shared = _results(map, x, params), _results(map, x, params[:, :1])
            results.append([*own, *shared, *map.inverse(x, params[:, :1])])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for other in results[1:] for a, b in zip(results[0], other, strict=True))


def _sums() -> list[str]:
    """Sums of the values, log-slopes and roots of two maps."""
    sums = []
    for map in (LogisticMixture(5), DeepSigmoidal(5)):
        x, params = _inputs(map, 1000, seed=9)
        sums += [f"{float(part.sum()):.9f}" for part in (*map.forward(x, params), *map.inverse(x, params))]
    return sums


@pytest.mark.parametrize("setting", ["avx2", "portable"])
def test_fewer_instructions_give_the_same_values(setting: str) -> None:
    program = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_mixture_kernel as test; "
    command = [sys.executable, "-c", program + "print(*test._sums())"]
    known = {**os.environ, "PUSHFORWARD_INSTRUCTIONS": setting}
    told = subprocess.run(command, env=known, capture_output=True, text=True, timeout=120, check=True).stdout
    with _formulas():
        assert told.split() == _sums()


def test_gradients_that_can_be_differentiated_hold_the_other_input_fixed() -> None:
    map = LogisticMixture(3)
    params = _inputs(map, 30, seed=7)[1].requires_grad_()

    def loss() -> Tensor:
        y, log_slope = map.forward(params[0], params)
        return (y.sin() + log_slope.square()).sum()

    (once,) = torch.autograd.grad(loss(), params)
    (twice,) = torch.autograd.grad(loss(), params, create_graph=True)
    torch.testing.assert_close(once, twice, rtol=1e-9, atol=1e-9)


def test_a_batch_of_gradients_at_once_and_functional_transforms() -> None:
    map = DeepSigmoidal(3)
    x, params = (each.requires_grad_() for each in _inputs(map, 5, seed=8))
    out = torch.stack(map.forward(x, params))
    many = torch.linspace(-1, 3, 30, dtype=torch.float64).reshape(3, 2, 5)
    batched = torch.autograd.grad(out, (x, params), many, is_grads_batched=True, retain_graph=True)
    each = [torch.autograd.grad(out, (x, params), one, retain_graph=True) for one in many]
    torch.testing.assert_close(batched, tuple(torch.stack(grads) for grads in zip(*each, strict=True)))
    mapped = torch.func.vmap(map.forward, in_dims=(0, 1))(x, params)
    torch.testing.assert_close(torch.stack(mapped), out)


def test_a_root_beyond_the_numbers_is_an_error_as_in_the_formulas() -> None:
    map = LogisticMixture(2)
    params = torch.zeros(map.n_params, 3)
    params[4:6] = 1e9  # scales of e^5
    y = torch.tensor([0.0, 1e38, 1.0])
    with torch.no_grad(), pytest.raises(NumericsError, match=r"no root in 1 of 3 rows \(rows 1\)"):
        map.inverse(y, params)
