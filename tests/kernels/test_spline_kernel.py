"""The kernel of the rational-quadratic spline against the same formulas in torch's operations."""

import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from pushforward.domain import Domain
from pushforward.errors import OptionError, ShapeError
from pushforward.kernels.library import library
from pushforward.kernels.spline_operator import spline_operator
from pushforward.maps import RationalQuadraticSpline

pytestmark = pytest.mark.skipif(library() is None, reason="the kernels were not built or are turned off")

_MAKES = {
    "linear": lambda bins: RationalQuadraticSpline(bins),
    "box": lambda bins: RationalQuadraticSpline(bins, tails="box", domain=Domain("real", 0.1, 0.7)),
    "circular": lambda bins: RationalQuadraticSpline(bins, tails="circular"),
}
_DTYPES = (torch.float32, torch.float64)


def _both(
    map: RationalQuadraticSpline, v: Tensor, params: Tensor, back: bool, monkeypatch: pytest.MonkeyPatch
) -> list[list[Tensor]]:
    """Value, log-slope and gradients by the kernel, and by torch's operations in double precision."""
    results = []
    for kernel in (True, False):
        with monkeypatch.context() as patch:
            u, p = v.clone(), params.clone()
            if not kernel:
                patch.setattr("pushforward.maps.spline.takes_spline", lambda *given: False)
                u, p = u.double(), p.double()
            u.requires_grad_(True)
            p.requires_grad_(True)
            out = map.inverse(u, p) if back else map.forward(u, p)
            weights = torch.linspace(-1, 1, v.numel()).to(u).view(v.shape)
            finite = torch.where(out[1].isfinite(), out[1], 0.0)
            grads = torch.autograd.grad((weights * out[0]).sum() + (weights.cos() * finite).sum(), (u, p))
            results.append([*out, *grads])
    return results


@pytest.mark.parametrize("dtype", _DTYPES, ids=str)
@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("tails", _MAKES)
def test_values_and_gradients_are_those_of_the_formulas(
    tails: str, back: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator().manual_seed(0)
    for bins, shape in ((2, (1,)), (3, (7, 5)), (8, (1, 67)), (8, (4, 1025)), (17, (2, 3, 33)), (64, (19,))):
        map = _MAKES[tails](bins)
        params = torch.randn(map.n_params, *shape, generator=generator, dtype=torch.float64).to(dtype)
        where = torch.rand(*shape, generator=generator, dtype=torch.float64).to(dtype)
        v = map.low + (map.high - map.low) * (1.2 * where - 0.1 * (tails == "linear")).clamp(0, 1 + (tails == "linear"))
        ours, exact = _both(map, v, params, back, monkeypatch)
        # Beside a knot, rounding decides which bin holds a value: the gradients of either are right.
        tolerance = 2e-11 if dtype == torch.float64 else 2e-3
        for own, wanted in zip(ours, exact, strict=True):
            close = torch.isclose(own.double(), wanted, rtol=tolerance, atol=tolerance)
            assert close.double().mean() > (1 - 1e-12 if dtype == torch.float64 else 0.999)


@pytest.mark.parametrize("dtype", _DTYPES, ids=str)
def test_values_round_as_the_formulas_do(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    map, generator = RationalQuadraticSpline(8), torch.Generator().manual_seed(1)
    params = torch.randn(map.n_params, 20000, generator=generator, dtype=torch.float64).to(dtype)
    v = (6 * torch.rand(20000, generator=generator, dtype=torch.float64) - 3).to(dtype)
    exact = map.forward(v.double(), params.double())
    ours = map.forward(v, params)
    monkeypatch.setattr("pushforward.maps.spline.takes_spline", lambda *given: False)
    plain = map.forward(v, params)
    least = torch.finfo(dtype).eps
    for own, other, wanted in zip(ours, plain, exact, strict=True):
        errors = [(each.double() - wanted).abs().mean() for each in (own, other)]
        assert errors[0] <= 1.5 * errors[1] + 0.1 * least


def test_strides_and_expanded_params_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    map, generator = RationalQuadraticSpline(4), torch.Generator().manual_seed(2)
    v = torch.randn(6, 40, generator=generator, dtype=torch.float64)
    wide = torch.randn(40, 6, map.n_params, generator=generator, dtype=torch.float64)
    for values, params in (
        (v.t(), wide.permute(2, 0, 1)),
        (v[::2, ::3], torch.randn(map.n_params, 3, 1, generator=generator, dtype=torch.float64).expand(-1, 3, 14)),
        (v[:0], wide.permute(2, 1, 0)[:, :0]),
    ):
        ours, exact = _both(map, values, params, False, monkeypatch)
        for own, wanted in zip(ours, exact, strict=True):
            torch.testing.assert_close(own, wanted, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("tails", _MAKES)
@pytest.mark.parametrize("back", [False, True])
def test_nan_and_infinity_pass_as_in_the_formulas(tails: str, back: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    map = _MAKES[tails](5)
    v = torch.tensor([math.nan, math.inf, -math.inf, 0.3], dtype=torch.float64)
    params = torch.zeros(map.n_params, 4, dtype=torch.float64)
    params[1, 3] = math.nan
    direction = map.inverse if back else map.forward
    ours = direction(v, params)
    monkeypatch.setattr("pushforward.maps.spline.takes_spline", lambda *given: False)
    for own, wanted in zip(ours, direction(v, params), strict=True):
        assert own.isnan().tolist() == wanted.isnan().tolist()
        torch.testing.assert_close(own.nan_to_num(), wanted.nan_to_num())


def test_second_derivatives_are_those_of_the_formulas() -> None:
    map, generator = RationalQuadraticSpline(4), torch.Generator().manual_seed(3)
    v = torch.randn(5, generator=generator, dtype=torch.float64, requires_grad=True)
    params = torch.randn(map.n_params, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    for direction in (map.forward, map.inverse):
        assert torch.autograd.gradgradcheck(direction, (v, params))
        assert torch.autograd.gradgradcheck(lambda p, way=direction: way(v.detach(), p), (params,))


def test_threads_agree_and_many_may_call_at_once() -> None:
    map, generator = RationalQuadraticSpline(8), torch.Generator().manual_seed(4)
    v = torch.randn(50_000, generator=generator)
    params = torch.randn(map.n_params, 50_000, generator=generator)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = map.forward(v, params)
        torch.set_num_threads(4)
        with ThreadPoolExecutor(4) as pool:
            every = list(pool.map(lambda _: map.forward(v, params), range(16)))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(own, wanted) for each in every for own, wanted in zip(each, one, strict=True))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_has_threads_of_its_own() -> None:
    program = """
import os, torch
from pushforward.maps import RationalQuadraticSpline
map = RationalQuadraticSpline(8)
v, params = torch.randn(50_000), torch.randn(map.n_params, 50_000)
torch.set_num_threads(4)
before = map.forward(v, params)[0]
child = os.fork()
if child == 0:
    os._exit(0 if torch.equal(map.forward(v, params)[0], before) else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert subprocess.run([sys.executable, "-c", program], timeout=120).returncode == 0


def test_fewer_instructions_give_the_same_values() -> None:
    program = """
import sys, torch
from pushforward.kernels import instructions
from pushforward.maps import RationalQuadraticSpline
map, generator = RationalQuadraticSpline(8), torch.Generator().manual_seed(5)
v = torch.randn(1000, generator=generator, dtype=torch.float64)
params = torch.randn(map.n_params, 1000, generator=generator, dtype=torch.float64)
print(instructions(), *(f"{float(part.sum()):.9f}" for part in (*map.forward(v, params), *map.inverse(v, params))))
"""

    def told(**environment: str) -> list[str]:
        command, known = [sys.executable, "-c", program], {**os.environ, **environment}
        return subprocess.run(
            command, env=known, capture_output=True, text=True, timeout=120, check=True
        ).stdout.split()

    without = told(PUSHFORWARD_KERNELS="reference")
    assert without[0] == "None"
    for setting in ("avx512", "avx2", "portable"):
        name, *sums = told(PUSHFORWARD_INSTRUCTIONS=setting)
        assert name in (setting, "portable")
        assert sums == without[1:]


def test_an_unknown_setting_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUSHFORWARD_KERNELS", "fast")
    library.cache_clear()
    try:
        with pytest.raises(OptionError, match="compiled \\(the default\\) or reference, not 'fast'"):
            library()
    finally:
        monkeypatch.undo()
        library.cache_clear()


def test_gradients_of_params_in_a_part_of_a_larger_tensor(monkeypatch: pytest.MonkeyPatch) -> None:
    map, generator = RationalQuadraticSpline(8), torch.Generator().manual_seed(0)
    whole = torch.randn(map.n_params, 8, 3, generator=generator, requires_grad=True)
    x = torch.randn(4, 3, generator=generator)
    grads = []
    for kernel in (True, False):
        if not kernel:
            monkeypatch.setattr("pushforward.maps.spline.takes_spline", lambda *given: False)
        y, log_slope = map.forward(x, whole[:, 2:6])
        grads.append(torch.autograd.grad(y.sum() + log_slope.sum(), whole)[0])
    torch.testing.assert_close(grads[0], grads[1])


@pytest.mark.parametrize("tails", _MAKES)
def test_gradients_that_can_be_differentiated_hold_the_other_input_fixed(tails: str) -> None:
    map, generator = _MAKES[tails](4), torch.Generator().manual_seed(3)
    start = torch.randn(map.n_params, 30, generator=generator, dtype=torch.float64)
    for back in (False, True):
        params = start.clone().requires_grad_()
        v = map.low + (map.high - map.low) * params[0].sigmoid()  # depends on what the spline depends on

        def loss(v: Tensor = v, params: Tensor = params, back: bool = back) -> Tensor:
            y, log_slope = map.inverse(v, params) if back else map.forward(v, params)
            return (y.sin() + log_slope.square()).sum()

        (once,) = torch.autograd.grad(loss(), params, retain_graph=True)
        (twice,) = torch.autograd.grad(loss(), params, create_graph=True)
        torch.testing.assert_close(once, twice, rtol=1e-9, atol=1e-9)


def test_too_few_params_are_an_error() -> None:
    map, v = RationalQuadraticSpline(8), torch.zeros(1000)
    with pytest.raises(RuntimeError):
        map.forward(v, torch.zeros(5, 1000))
    options = map._kernel
    assert options is not None
    for params in (torch.zeros(5, 1000), torch.zeros(map.n_params, 999), torch.zeros(map.n_params, 1000).double()):
        with pytest.raises(ShapeError, match=r"params of shape \(23, 1000\) in torch.float32 expected"):
            spline_operator(v, params, options, False)


def test_tensors_that_are_lazily_negated_are_taken_as_they_are() -> None:
    map = RationalQuadraticSpline(4)
    v = torch.complex(torch.zeros(7), torch.linspace(-2, 2, 7)).conj().imag
    assert v.is_neg()
    params = torch.linspace(-1, 1, map.n_params * 7).reshape(map.n_params, 7)
    torch.testing.assert_close(map.forward(v, params), map.forward(v.clone(), params))


def test_a_batch_of_gradients_at_once() -> None:
    map, v = RationalQuadraticSpline(4), torch.linspace(-2, 2, 5, requires_grad=True)
    params = torch.linspace(-1, 1, 5 * map.n_params).reshape(map.n_params, 5).requires_grad_()
    out = torch.stack(map.forward(v, params))
    many = torch.linspace(-1, 3, 30).reshape(3, 2, 5)
    batched = torch.autograd.grad(out, (v, params), many, is_grads_batched=True, retain_graph=True)
    each = [torch.autograd.grad(out, (v, params), one, retain_graph=True) for one in many]
    torch.testing.assert_close(batched, tuple(torch.stack(grads) for grads in zip(*each, strict=True)))
