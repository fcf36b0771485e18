"""The kernel of dense nets against the same net in torch's operations, and where each of them computes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor, nn

from pushforward.kernels import dense as dense_module
from pushforward.kernels import instructions
from pushforward.nets import MADE, MLP
from pushforward.threads import WorkCounter

pytestmark = pytest.mark.skipif(instructions() is None, reason="the kernels were not built")


@contextmanager
def _formulas() -> Iterator[None]:
    """torch's operations in place of the kernel."""
    never = mock.Mock(return_value=False)
    with mock.patch("pushforward.nets.mlp.takes_dense", never), mock.patch("pushforward.nets.made.takes_dense", never):
        yield


@contextmanager
def _calls() -> Iterator[list[int]]:
    """The numbers of rows of the kernel's calls for values."""
    seen: list[int] = []
    values = dense_module._values

    def counted(x: Tensor, *more: Any, **options: Any) -> Any:
        seen.append(len(x))
        return values(x, *more, **options)

    with mock.patch.object(dense_module, "_values", counted):
        yield seen


def _with_gradients(net: nn.Module, x: Tensor, **more: Any) -> list[Tensor]:
    x = x.clone().requires_grad_()
    out = net(x, **more)
    weights = torch.sin(torch.arange(out.numel(), dtype=out.dtype)).reshape(out.shape)
    inputs = [x, *net.parameters()]
    return [out.detach(), *torch.autograd.grad((out * weights).sum(), inputs)]


def _nets(dtype: torch.dtype) -> Iterator[tuple[nn.Module, int]]:
    yield MADE(torch.zeros(1, 1, dtype=torch.bool), 3, (4,)).to(dtype), 1  # no units: biases alone
    for hidden, residual in (((1,), False), ((7, 7, 7), True), ((33, 18), False), ((64, 64), True)):
        yield MLP(3, 5, hidden, residual=residual, zero=False).to(dtype), 3
        order = torch.ones(4, 4, dtype=torch.bool).tril(-1)
        net = MADE(order, 3, tuple(4 * width for width in hidden), residual=residual).to(dtype)
        nn.init.normal_(net.last.weight)
        yield net, 4


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-5)])
def test_values_and_gradients_are_those_of_torchs_operations(dtype: torch.dtype, tolerance: float) -> None:
    torch.manual_seed(0)
    for (net, features), rows in itertools.product(_nets(dtype), (1, 2, 16, 17, 40, 1100)):
        x = torch.randn(features, rows + 1, dtype=dtype).t()[1:]
        with _calls() as seen:
            ours = _with_gradients(net, x)
        assert seen == [rows]
        with _formulas():
            expected = _with_gradients(net, x)
        for name, a, b in zip(("out", "x", *dict(net.named_parameters())), ours, expected, strict=True):
            # Sums over the rows are rounded in another order.
            scale = 1 if name in ("out", "x") else rows**0.5
            torch.testing.assert_close(a, b, rtol=tolerance, atol=scale * tolerance)


def test_rows_do_not_depend_on_each_other_nor_on_the_number_of_threads() -> None:
    torch.manual_seed(0)
    net = MLP(3, 5, (50, 50), residual=True, zero=False)
    x = torch.randn(3000, 3)
    whole = net(x)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        both = _with_gradients(net, x)
        torch.set_num_threads(1)
        for a, b in zip(both, _with_gradients(net, x), strict=True):
            assert torch.equal(a, b)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(whole[1234:1300], net(x[1234:1300]))
    x[7] = torch.nan
    assert torch.equal(whole[8:], net(x)[8:])
    assert net(x)[7].isnan().all()


def test_inputs_at_the_limit_have_gradient_0() -> None:
    torch.manual_seed(0)
    net = MLP(2, 3, (64,), zero=False)
    x = torch.tensor([[1e7, 0.5], [-1e6, 1e6], [torch.inf, 1.0]])
    _, by_x, *_ = _with_gradients(net, x)
    assert torch.equal(by_x == 0, x.abs() >= 1e6)
    with _formulas():
        torch.testing.assert_close(by_x, _with_gradients(net, x)[1])


def test_second_derivatives() -> None:
    torch.manual_seed(0)
    net = MLP(3, 2, (6, 6), residual=True, zero=False).double()
    x = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    params = dict(net.named_parameters())

    def out(x: Tensor, *values: Tensor) -> Tensor:
        called: Tensor = torch.func.functional_call(net, dict(zip(params, values, strict=True)), x)
        return called

    inputs = (x, *(value.detach().requires_grad_() for value in params.values()))
    assert torch.autograd.gradcheck(out, inputs)
    assert torch.autograd.gradgradcheck(out, inputs)


def test_gradients_that_can_be_differentiated_hold_other_inputs_fixed() -> None:
    torch.manual_seed(0)
    net, x = MLP(3, 3, (6,), zero=False).double(), torch.randn(5, 3, dtype=torch.float64)
    with torch.no_grad():
        for param in net.parameters():
            param.add_(0.1)
    scale = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)

    def loss() -> Tensor:  # the weights depend on what the input depends on
        given = {name: value * scale for name, value in net.named_parameters()}
        called: Tensor = torch.func.functional_call(net, given, torch.tanh(x * given["last.bias"]))
        return called.square().sum()

    once = torch.autograd.grad(loss(), scale)
    torch.testing.assert_close(torch.autograd.grad(loss(), scale, create_graph=True), once)


def test_gradients_by_some_inputs() -> None:
    torch.manual_seed(0)
    net, x = MLP(3, 2, (8, 8), zero=False), torch.randn(20, 3)
    _, by_x, *by_params = _with_gradients(net, x)
    only_params = torch.autograd.grad((net(x) * _signs(20, 2)).sum(), list(net.parameters()))
    torch.testing.assert_close(list(only_params), by_params)
    net.requires_grad_(False)
    x.requires_grad_()
    torch.testing.assert_close(torch.autograd.grad((net(x) * _signs(20, 2)).sum(), x)[0], by_x)


def _signs(*shape: int) -> Tensor:
    return torch.sin(torch.arange(shape[0] * shape[1], dtype=torch.float32)).reshape(shape)


def test_a_batch_of_gradients_at_once() -> None:
    torch.manual_seed(0)
    net, x = MLP(3, 2, (8, 8), zero=False), torch.randn(4, 3, requires_grad=True)
    out = net(x)
    many = torch.randn(6, 4, 2)
    (batched,) = torch.autograd.grad(out, x, many, is_grads_batched=True, retain_graph=True)
    each = [torch.autograd.grad(out, x, one, retain_graph=True)[0] for one in many]
    torch.testing.assert_close(batched, torch.stack(each))


class _Doubled(nn.ReLU):
    """An activation of another class that is a ReLU too."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


def _replace_forward(net: MLP) -> None:
    forward = net.layers[0].forward
    net.layers[0].forward = lambda h: 2 * forward(h)  # type: ignore[method-assign]


def _hooked(net: MLP) -> Callable[[], None]:
    return net.layers[1].register_forward_hook(lambda layer, given, out: 2 * out).remove


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(_hooked, id="hook"),
        pytest.param(lambda net: nn.utils.parametrizations.weight_norm(net.layers[0]), id="parametrisation"),
        pytest.param(lambda net: setattr(net.dropout, "p", 0.5), id="dropout"),
        pytest.param(lambda net: setattr(net, "activation", nn.Tanh()), id="activation"),
        pytest.param(lambda net: setattr(net, "activation", _Doubled()), id="subclass of the activation"),
        pytest.param(lambda net: net.activation.register_forward_hook(lambda *_: None), id="hook of the activation"),
        pytest.param(_replace_forward, id="method of one layer"),
        pytest.param(lambda net: net.bfloat16(), id="dtype"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*autocast.*")
def test_torchs_operations_compute_other_nets(change: Callable[[MLP], object]) -> None:
    net = MLP(3, 2, (8, 8), zero=False)
    change(net)
    with _calls() as seen:
        net(torch.zeros(4, 3, dtype=net.last.weight.dtype))
    assert not seen


def test_layers_that_do_not_fit_each_other_are_refused() -> None:
    order = torch.ones(3, 3, dtype=torch.bool).tril(-1)
    for net in (MLP(3, 2, (8, 8), residual=True, zero=False), MADE(order, 2, (8, 8))):
        for width in (2, 4):
            with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
                net(torch.zeros(5, width))
        net.last.weight = nn.Parameter(torch.zeros(6, 7))
        with pytest.raises(RuntimeError):
            net(torch.zeros(5, 3))
    net = MADE(order, 2, (8, 8))
    net.layers[0].double()
    with pytest.raises(RuntimeError, match="dtype"):
        net(torch.zeros(5, 3))


def test_a_removed_parametrisation_changes_the_order_of_params_alone() -> None:
    torch.manual_seed(0)
    net, x = MLP(3, 2, (8, 8), zero=False), torch.randn(5, 3)
    expected = net(x)
    nn.utils.parametrizations.weight_norm(net.layers[0])
    nn.utils.parametrize.remove_parametrizations(net.layers[0], "weight")
    with _calls() as seen:
        torch.testing.assert_close(net(x), expected)
    assert seen == [5]


def test_masks_may_change() -> None:
    torch.manual_seed(0)
    net = MADE(torch.ones(3, 3, dtype=torch.bool).tril(-1), 2, (8,))
    nn.init.normal_(net.last.weight)
    for layer in (net.layers[0], net.last):
        nn.init.normal_(layer.weight)
    x = torch.randn(5, 3)
    net(x)
    net.last.mask.fill_(1)
    changed = net(x)
    net.layers[0].mask = torch.ones_like(net.layers[0].mask)
    replaced = net(x)
    with _formulas():
        torch.testing.assert_close(replaced, net(x))
    assert not torch.equal(changed, replaced)


def test_the_default_device_has_no_part_in_a_net_on_the_cpu() -> None:
    net = MADE(torch.ones(3, 3, dtype=torch.bool).tril(-1), 2, (8,))
    x = torch.zeros(5, 3)
    with torch.device("meta"):
        assert net(x).device == x.device


def test_torchs_operations_compute_where_they_are_transformed() -> None:
    torch.manual_seed(0)
    net, x = MLP(3, 2, (8, 8), zero=False), torch.randn(4, 3)
    with torch.no_grad(), _calls() as seen:
        expected = net(x)
        del seen[:]
        torch.testing.assert_close(torch.func.vmap(lambda row: net(row[None])[0])(x), expected)
        torch.testing.assert_close(torch.compile(net, backend="eager")(x), expected)
        torch.func.jacrev(net)(x)
        with torch.autocast("cpu", torch.bfloat16):
            net(x)
        assert net(x[:0]).shape == (0, 2)
    assert not seen


def test_work_is_counted_as_that_of_torchs_operations() -> None:
    net, x = MLP(4, 8, (128, 128), zero=False), torch.randn(512, 4)
    works = []
    for context in (_calls(), _formulas()):
        with context, WorkCounter() as counter:
            net(x).sum().backward()
        works.append(counter.mean_work)
    assert works[0] == pytest.approx(works[1], rel=0.3)


def test_second_derivatives_have_no_dropout_where_the_values_had_none() -> None:
    net = MLP(3, 2, (16,), dropout=0.5, zero=False).double().eval()
    x = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)

    def second(mode: bool) -> Tensor:
        net.eval()
        out = net(x).pow(2).sum()
        net.train(mode)
        (first,) = torch.autograd.grad(out, x, create_graph=True)
        return torch.autograd.grad(first.pow(2).sum(), x)[0]

    torch.testing.assert_close(second(mode=True), second(mode=False))
