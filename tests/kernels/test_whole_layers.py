"""Coupling and autoregressive layers as one call, against the same layers in torch's operations."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest import mock

import pytest
import torch
from torch import Tensor, nn

from pushforward import flows
from pushforward.kernels import Layer, instructions
from pushforward.maps import (
    Affine,
    Map,
    RationalQuadraticSpline,
    ShiftedScale,
    SigmoidScale,
    SoftClampScale,
    TanhScale,
)
from pushforward.nets import MADE, MLP
from pushforward.nets.masks import full_adjacency
from pushforward.threads import WorkCounter
from pushforward.transforms import Autoregressive, Coupling, Transform, VectorPartition

pytestmark = pytest.mark.skipif(instructions() is None, reason="the kernels were not built")

MAPS: dict[str, Callable[[], Map]] = {
    "soft clamp": lambda: Affine(SoftClampScale(2.0)),
    "tanh": lambda: Affine(TanhScale(1.5)),
    "sigmoid": lambda: Affine(SigmoidScale()),
    "shifted": lambda: ShiftedScale(SigmoidScale()),
    "spline": lambda: RationalQuadraticSpline(5),
    "spline in a box": lambda: RationalQuadraticSpline(3, bound=6.0, tails="box"),
}
# A graph with stages of several coordinates, and one in which the order is reversed.
GRAPH = torch.tensor([[0, 0, 1, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 0, 1, 0, 0]]).bool()
ORDERS = {"natural": full_adjacency(5), "reversed": full_adjacency(5, [4, 3, 2, 1, 0]), "graph": GRAPH}


@contextmanager
def _calls(allowed: bool = True) -> Iterator[list[bool]]:
    """Whether the kernel took each layer that was computed; with ``allowed`` False it takes none."""
    seen: list[bool] = []
    takes = Layer.takes

    def counted(self: Layer, *inputs: Tensor) -> bool:
        seen.append(allowed and takes(self, *inputs))
        return seen[-1]

    with mock.patch.object(Layer, "takes", counted):
        yield seen


def _both_ways(step: Transform, x: Tensor, context: Tensor | None = None) -> list[Tensor]:
    with torch.no_grad():
        return [*step.to_latent(x, context), *step.to_data(x, context)]


def _assert_equal(step: Transform, x: Tensor, context: Tensor | None = None) -> None:
    with _calls() as seen:
        found = _both_ways(step, x, context)
    assert seen == [True, True]
    with _calls(allowed=False):
        expected = _both_ways(step, x, context)
    exact = x.dtype == torch.float64
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == x.dtype
        assert one.shape == other.shape
        torch.testing.assert_close(one, other, rtol=1e-12 if exact else 3e-4, atol=1e-12 if exact else 3e-4)


def _random(net: nn.Module) -> None:
    torch.manual_seed(2)
    for param in net.parameters():
        nn.init.normal_(param, std=0.3)


def _coupling(map: Map, hidden: tuple[int, ...] = (20, 20), context_dim: int = 0) -> Coupling:
    partition = VectorPartition(5, changed=(0, 2, 3))
    net = MLP(*partition.net_sizes(map), hidden, context_dim=context_dim, residual=True)
    _random(net)
    return Coupling(partition, map, net)


def _autoregressive(map: Map, order: str = "natural") -> Autoregressive:
    net = MADE(ORDERS[order], map.n_params, (20, 20))
    _random(net)
    return Autoregressive(map, net)


def _vectors(rows: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return 2 * torch.randn(rows, 5, generator=torch.Generator().manual_seed(rows), dtype=dtype)


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_layers_compute_what_the_operations_do(name: str, dtype: torch.dtype) -> None:
    for rows in (1, 15, 17, 47, 130):
        x = _vectors(rows, dtype)
        _assert_equal(_coupling(MAPS[name]()).to(dtype), x)
        _assert_equal(_coupling(MAPS[name](), context_dim=2).to(dtype), x, x[:, 1:3] + 1)
        for order in ORDERS:
            _assert_equal(_autoregressive(MAPS[name](), order).to(dtype), x)


@pytest.mark.parametrize("kind", [_coupling, _autoregressive])
def test_inverses_lead_back(kind: Callable[[Map], Transform]) -> None:
    x = _vectors(200, torch.float64).clamp(-5.9, 5.9)  # in the box
    for name in MAPS:
        step = kind(MAPS[name]()).double()
        with torch.no_grad():
            z, log_term = step.to_latent(x)
            back, other = step.to_data(z)
        torch.testing.assert_close(back, x, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(other, -log_term, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("kind", [_coupling, _autoregressive])
def test_rows_may_lie_anywhere_in_memory(kind: Callable[[Map], Transform]) -> None:
    step, x = kind(MAPS["spline"]()), _vectors(60)
    memory = torch.zeros(120, 10)
    memory[::2, 1::2] = x
    for same in (memory[::2, 1::2], x.t().contiguous().t(), x[:1].expand(60, 5)):
        _assert_equal(step, same)


@pytest.mark.parametrize("kind", [_coupling, _autoregressive])
@pytest.mark.parametrize("name", MAPS)
def test_values_beyond_all_bounds_give_what_the_operations_do(kind: Callable[[Map], Transform], name: str) -> None:
    step = kind(MAPS[name]())
    for value in (torch.inf, -torch.inf, torch.nan, 1e30, -1e30, 1e-40, 6.0, -6.0):
        x = _vectors(3)
        x[1, 2] = value
        with _calls():
            found = _both_ways(step, x)
        with _calls(allowed=False):
            expected = _both_ways(step, x)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4, equal_nan=True)


def test_log_scales_are_exact_over_their_whole_range() -> None:
    raw = torch.cat([torch.linspace(-12, 12, 4001), torch.tensor([1e-30, -1e-6, 700.0, -700.0, 1e20, -1e20])])
    for name, dtype in itertools.product(("soft clamp", "tanh", "sigmoid"), (torch.float32, torch.float64)):
        map = MAPS[name]()
        partition = VectorPartition(2, changed=(1,))
        net = MLP(1, 2, (2,))
        with torch.no_grad():
            net.layers[0].weight.copy_(torch.tensor([[1.0], [-1.0]]))
            net.layers[0].bias.zero_()
            net.last.weight.copy_(torch.tensor([[0.0, 0.0], [1.0, -1.0]]))
        step = Coupling(partition, map, net).to(dtype)
        x = torch.stack([raw.clamp(-1e6, 1e6), torch.ones_like(raw)], 1).to(dtype)
        with torch.no_grad():
            log_term = step.to_latent(x)[1]
            expected = map.log_scale(x[:, 0].double()) if dtype == torch.float32 else map.log_scale(x[:, 0])
        tolerance = 1e-6 if dtype == torch.float32 else 1e-15
        torch.testing.assert_close(log_term.double(), expected.double(), rtol=tolerance, atol=1e-37)


def test_the_number_of_threads_changes_no_bit() -> None:
    x = _vectors(3_000)
    for step in (_coupling(MAPS["tanh"](), (64, 64)), _autoregressive(MAPS["spline"]())):
        results = []
        before = torch.get_num_threads()
        for threads in (1, 3):
            torch.set_num_threads(threads)
            results.append(_both_ways(step, x))
        torch.set_num_threads(before)
        assert all(map(torch.equal, *results))


class _Other(Affine):
    def forward(self, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        return x + 1, torch.zeros_like(x)


def _never(step: Transform, x: Tensor, context: Tensor | None = None) -> None:
    with _calls() as seen:
        _both_ways(step, x, context)
    assert not any(seen)


def test_what_the_kernel_does_not_know_is_left_to_the_operations() -> None:
    x = _vectors(4)
    for map in (_Other(SoftClampScale()), Affine(TanhScale(200.0)), RationalQuadraticSpline(80)):
        _never(_coupling(map), x)
        _never(_autoregressive(map), x)
    hooked = _coupling(MAPS["tanh"]())
    for module in (hooked.net, hooked.map, hooked.map.log_scale, hooked.net.layers[0]):
        handle = module.register_forward_hook(lambda *_: None)
        _never(hooked, x)
        handle.remove()
    for module, method in ((hooked.net, "forward"), (hooked.map, "forward"), (hooked.map, "inverse")):
        with mock.patch.object(module, method, getattr(module, method)):
            _never(hooked, x)
    _assert_equal(hooked, x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _never(hooked, x)
    _never(_coupling(MAPS["tanh"]()), x[:0])
    partition, map = VectorPartition(1, changed=(0,)), MAPS["tanh"]()
    _never(Coupling(partition, map, MLP(*partition.net_sizes(map), (4,))), x[:, :1])


def _gradients(step: Transform, x: Tensor, back: bool, context: Tensor | None = None) -> list[Tensor]:
    x = x.clone().requires_grad_()
    context = None if context is None else context.clone().requires_grad_()
    out, log_term = (step.to_data if back else step.to_latent)(x, context)
    weights = torch.sin(torch.arange(out.numel(), dtype=x.dtype)).reshape(out.shape)
    total = (out * weights).sum() + (log_term * weights[:, 0]).sum()
    inputs = [x, *([] if context is None else [context]), *step.parameters()]
    return [out.detach(), *torch.autograd.grad(total, inputs)]


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_those_of_the_operations(name: str, dtype: torch.dtype) -> None:
    for rows in (1, 17, 300):
        x = _vectors(rows, dtype)
        cases = [(_coupling(MAPS[name]()), back, None) for back in (False, True)]
        cases += [(_coupling(MAPS[name](), context_dim=2), False, x[:, 1:3] + 1)]
        cases += [(_autoregressive(MAPS[name](), order), False, None) for order in ORDERS]
        for step, back, context in cases:
            step.to(dtype)
            with _calls() as seen:
                found = _gradients(step, x, back, context)
            assert seen == [True]
            with _calls(allowed=False):
                expected = _gradients(step, x, back, context)
            for one, other in zip(found, expected, strict=True):
                scale = float(other.abs().max()) + 1e-3
                assert float((one - other).abs().max()) < scale * (1e-11 if dtype == torch.float64 else 2e-3)


@pytest.mark.parametrize("name", MAPS)
def test_derivatives_of_both_orders_are_right(name: str) -> None:
    x = _vectors(3, torch.float64)
    for step, back in (
        (_coupling(MAPS[name]()), True),
        (_coupling(MAPS[name]()), False),
        (_autoregressive(MAPS[name]()), False),
    ):
        step.double()
        params = [param.detach().requires_grad_() for param in step.parameters()]

        def values(x: Tensor, *params: Tensor, step: Transform = step, back: bool = back) -> tuple[Tensor, Tensor]:
            for (each, _), param in zip(list(step.named_parameters()), params, strict=True):
                *path, last = each.split(".")
                module = step.get_submodule(".".join(path))
                module._parameters[last] = param  # type: ignore[assignment]
            return (step.to_data if back else step.to_latent)(x)

        inputs = (x.clone().requires_grad_(), *params)
        with _calls() as seen:
            assert torch.autograd.gradcheck(values, inputs, fast_mode=True)
            assert torch.autograd.gradgradcheck(values, inputs, fast_mode=True, atol=1e-4)
        assert all(seen)


def test_only_wanted_gradients_are_computed() -> None:
    x = _vectors(6)
    for step in (_coupling(MAPS["tanh"]()), _autoregressive(MAPS["tanh"]())):
        expected = _gradients(step, x, back=False)[1:]
        for wanted in (
            step.parameters,
            lambda step=step: [step.net.last.bias],
            lambda step=step: [step.map.log_scale.rescale],
        ):
            for param in step.parameters():
                param.requires_grad_(any(param is each for each in wanted()))
            out, log_term = step.to_latent(x)
            weights = torch.sin(torch.arange(out.numel(), dtype=x.dtype)).reshape(out.shape)
            ((out * weights).sum() + (log_term * weights[:, 0]).sum()).backward()
            for param, grad in zip(step.parameters(), expected[1:], strict=True):
                assert (param.grad is not None) == param.requires_grad
                if param.grad is not None:
                    torch.testing.assert_close(param.grad, grad)
                    param.grad = None
            for param in step.parameters():
                param.requires_grad_()


def test_batches_of_gradients_are_those_of_the_operations() -> None:
    step, x = _coupling(MAPS["spline"]()), _vectors(3).requires_grad_()
    out, _ = step.to_latent(x)
    directions = torch.eye(15).reshape(15, 3, 5)
    (found,) = torch.autograd.grad(out, x, directions, is_grads_batched=True, retain_graph=True)
    expected = torch.stack([torch.autograd.grad(out, x, each, retain_graph=True)[0] for each in directions])
    torch.testing.assert_close(found, expected)


def test_the_number_of_threads_changes_no_bit_of_a_gradient() -> None:
    x = _vectors(3_000)
    before = torch.get_num_threads()
    for step in (_coupling(MAPS["tanh"](), (64, 64)), _autoregressive(MAPS["spline"]())):
        results = []
        for threads in (1, 3):
            torch.set_num_threads(threads)
            results.append(_gradients(step, x, back=False))
        torch.set_num_threads(before)
        assert all(map(torch.equal, *results))


def test_a_parameter_changed_before_the_backward_pass_is_refused() -> None:
    for step in (_coupling(MAPS["tanh"]()), _autoregressive(MAPS["tanh"]())):
        for param in (step.map.log_scale.rescale, step.net.last.bias):
            log_term = step.to_latent(_vectors(4))[1].sum()
            with torch.no_grad():
                param.add_(1)
            with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                log_term.backward()


def test_weights_that_change_are_used() -> None:
    step, x = _coupling(MAPS["spline"]()), _vectors(10)
    before = _both_ways(step, x)
    with torch.no_grad():
        step.net.last.weight.mul_(2)
    _assert_equal(step, x)
    assert not torch.equal(before[0], _both_ways(step, x)[0])


def test_vectors_of_another_width_are_refused() -> None:
    for step in (_coupling(MAPS["tanh"]()), _autoregressive(MAPS["tanh"]())):
        with _calls() as seen, pytest.raises((RuntimeError, IndexError)), torch.no_grad():
            step.to_latent(torch.zeros(3, 4))
        assert not any(seen)


def test_the_work_of_a_layer_is_counted() -> None:
    step, x = _coupling(MAPS["tanh"]()), _vectors(50)
    with torch.no_grad(), _calls() as seen, WorkCounter() as counter:
        step.to_latent(x)
    assert seen == [True]
    assert counter.work > 50 * sum(param.numel() for param in step.net.parameters()) / 16


@pytest.mark.parametrize(("name", "context_dim"), [("maf", 0), ("real_nvp", 2), ("flowpp", 0)])
def test_the_default_device_has_no_part_in_a_flow_on_the_cpu(name: str, context_dim: int) -> None:
    flow = flows.build(name, (3,), context_dim=context_dim)
    x, context = torch.full((5, 3), 0.3), torch.zeros(5, context_dim) if context_dim else None
    with torch.device("meta"), torch.no_grad():
        back = flow.decode(flow.encode(x, context), context)
    torch.testing.assert_close(back, x)
