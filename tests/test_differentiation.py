"""Derivatives that are not there are refused in a sentence; none is silently 0."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pushforward import flows
from pushforward.differentiation import forward_levels, is_transformed, pullback
from pushforward.errors import OptionError
from pushforward.flow import Flow
from pushforward.maps.probit import logit_of_normal, probit_of_logit
from pushforward.objectives.path_elbo import with_gradient
from pushforward.transforms import Continuous
from pushforward.transforms.stochastic_log_det import exactly

# torch scripts its own rules of forward mode when one is used first.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")

_STEP = 1e-4


def moved(name: str, **options: object) -> Flow:
    """A flow on two columns with weights of no symmetry."""
    torch.manual_seed(0)
    flow = flows.build(name, event_shape=(2,), **options).double().eval()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return flow


def rows() -> Tensor:
    return torch.randn(4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def score(flow: Flow, x: Tensor, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    value = flow.log_prob(x, generator=generator).sum()
    return torch.autograd.grad(value, x, create_graph=True)[0]


def curvature(flow: Flow, x: Tensor) -> Tensor:
    """The derivative of the first column's score by that column, (B,)."""
    x = x.clone().requires_grad_()
    return torch.autograd.grad(score(flow, x)[:, 0].sum(), x)[0][:, 0]


def curvature_by_differences(flow: Flow, x: Tensor) -> Tensor:
    step = torch.tensor([_STEP, 0.0], dtype=torch.float64)
    ends = (score(flow, (x + sign * step).requires_grad_())[:, 0].detach() for sign in (1, -1))
    above, below = ends
    return (above - below) / (2 * _STEP)


@pytest.mark.parametrize("name", ["ffjord", "flow_matching"])
def test_the_adjoint_refuses_a_second_derivative_and_the_steps_have_it(name: str) -> None:
    flow, x = moved(name, hidden=(8, 8), tolerance=1e-5), rows()
    with pytest.raises(OptionError, match="adjoint=False"):
        curvature(flow, x)
    # The gradient of a score by the weights, as score matching takes it, is of the second order too.
    start = x.clone().requires_grad_()
    with pytest.raises(OptionError, match="adjoint=False"):
        score(flow, start).square().sum().backward()
    for part in flow.modules():
        if isinstance(part, Continuous):
            part.adjoint = False
    torch.testing.assert_close(curvature(flow, x), curvature_by_differences(flow, x), atol=1e-3, rtol=1e-3)


def test_frozen_weights_stay_frozen_and_all_others_get_the_gradient_of_the_steps() -> None:
    flow, x = moved("ffjord", hidden=(8, 8), tolerance=1e-5), rows()
    parameters = list(flow.parameters())
    parameters[0].requires_grad_(False)
    gradients = []
    for adjoint in (True, False):
        for part in flow.modules():
            if isinstance(part, Continuous):
                part.adjoint = adjoint
        gradients.append(torch.autograd.grad(flow.log_prob(x).sum(), parameters[1:]))
    assert parameters[0].grad is None
    for by_adjoint, by_steps in zip(*gradients, strict=True):
        torch.testing.assert_close(by_adjoint, by_steps, atol=1e-3, rtol=1e-3)


def test_a_power_series_refuses_a_second_derivative_and_the_exact_log_determinant_has_it() -> None:
    x = rows()
    for log_det in ("roulette", "truncated"):
        flow = moved("residual_flow", transforms=2, hidden=(8, 8), log_det=log_det)
        with pytest.raises(OptionError, match="log_det='exact'"):
            curvature(flow, x)
        with pytest.raises(OptionError, match="log_det='exact'"):
            torch.func.jvp(flow.log_prob, (x,), (x,))
        with exactly(flow):
            torch.testing.assert_close(curvature(flow, x), curvature_by_differences(flow, x), atol=1e-6, rtol=1e-6)


def test_the_inverse_of_a_residual_block_has_its_first_derivative_only() -> None:
    flow = moved("iresnet", transforms=2, hidden=(8, 8))
    z = rows().requires_grad_()

    def data(z: Tensor) -> Tensor:
        return flow.transform.to_data(z)[0]

    (first,) = torch.autograd.grad(data(z).sum(), z, create_graph=True)
    expected = torch.func.vjp(data, z)[1](torch.ones_like(z))[0]
    torch.testing.assert_close(first, expected)
    with pytest.raises(OptionError, match="first order only"):
        torch.autograd.grad(first.sum(), z)
    with pytest.raises(OptionError, match="first order only"):
        torch.func.jvp(data, (z.detach(),), (z.detach(),))


def test_reversible_steps_refuse_a_second_derivative_and_run_plainly_inside_torch_func() -> None:
    torch.manual_seed(0)
    options = {"event_shape": (1, 4, 4), "channels": 4, "transforms": 1}
    flow = flows.build("glow", memory_saving=True, **options).double().eval()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    x = torch.rand(2, 1, 4, 4, dtype=torch.float64).requires_grad_()
    first = score(flow, x)
    torch.testing.assert_close(torch.func.grad(lambda x: flow.log_prob(x).sum())(x), first)
    with pytest.raises(OptionError, match="memory_saving=False"):
        torch.autograd.grad(first.sum(), x)


def test_a_path_gradient_refuses_a_second_derivative() -> None:
    x, pull = torch.ones(3, requires_grad=True), torch.arange(3.0)
    out = with_gradient(torch.tensor(2.0), (x, pull))
    (first,) = torch.autograd.grad(3 * out, x, create_graph=True)
    torch.testing.assert_close(first, 3 * pull)
    with pytest.raises(OptionError, match="first order only"):
        torch.autograd.grad(first.sum(), x)


@pytest.mark.parametrize("function", [logit_of_normal, probit_of_logit])
def test_probits_have_every_second_derivative_or_refuse_it(function: object) -> None:
    x = torch.linspace(-3, 3, 5, dtype=torch.float64)

    def total(x: Tensor) -> Tensor:
        value, log_slope = function(x)  # type: ignore[operator]
        return (value.square() + log_slope.square()).sum()

    wanted = torch.func.jacrev(torch.func.jacrev(total))(x)
    torch.testing.assert_close(torch.func.hessian(total)(x), wanted)
    torch.testing.assert_close(torch.func.jacrev(torch.func.jacfwd(total))(x), wanted)
    with pytest.raises(OptionError, match=r"torch\.func\.hessian"):
        torch.func.jacfwd(torch.func.jacfwd(total))(x)


def test_pullbacks_inside_torch_func_are_those_outside() -> None:
    x = rows()

    def total(x: Tensor) -> Tensor:
        y, pull = pullback(lambda x: x.sin() * x.flip(1), x)
        return (y.square() + pull(torch.ones_like(y)).square()).sum()

    assert not is_transformed()
    assert forward_levels() == 0
    at = x.clone().requires_grad_()
    torch.testing.assert_close(torch.func.grad(total)(x), torch.autograd.grad(total(at), at)[0])
    torch.testing.assert_close(torch.func.jvp(total, (x,), (x,))[1], (torch.func.grad(total)(x) * x).sum())
    with torch.no_grad():
        assert not total(at).requires_grad
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, x)
        tangent = torch.autograd.forward_ad.unpack_dual(total(dual)).tangent
    torch.testing.assert_close(tangent, (torch.func.grad(total)(x) * x).sum())


def test_numeric_inverses_refuse_to_run_row_by_row() -> None:
    flow, z = moved("naf", transforms=1, hidden=(8,)), rows()
    torch.testing.assert_close(
        torch.func.jvp(lambda z: flow.transform.to_data(z)[0], (z,), (z,))[1],
        torch.func.jacrev(lambda z: flow.transform.to_data(z)[0])(z).flatten(2).matmul(z.flatten()),
    )
    with pytest.raises(OptionError, match="one batch"):
        torch.func.vmap(lambda z: flow.transform.to_data(z[None])[0])(z)
