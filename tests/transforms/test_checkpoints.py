"""Steps whose activations are computed again: values, gradients and moments of a chain, in less memory."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from pushforward import Flow, flows
from pushforward.maps import Affine, SoftClampScale
from pushforward.nets import MLP, ResidualConvNet, contractive_mlp
from pushforward.transforms import (
    ActivationCheckpoints,
    BatchNorm,
    Chain,
    Channelwise,
    Coupling,
    Dequantise,
    LULinear,
    Residual,
)
from pushforward.transforms.base import Transform
from pushforward.transforms.partition import half
from stored_memory import stored_bytes

_SHAPE = (4, 4, 4)


def _image_steps() -> list[Transform]:
    net = ResidualConvNet(2, 4, 4, 1, context_dim=2)
    coupling = Coupling(Channelwise(_SHAPE), Affine(SoftClampScale()), net, BatchNorm((2, 4, 4), lag=True))
    return [BatchNorm(_SHAPE), LULinear(_SHAPE, "orthogonal"), coupling]


def _vector_steps(dropout: float) -> list[Transform]:
    return [
        Coupling(half(4), Affine(SoftClampScale()), MLP(2, 4, (16,), context_dim=2, dropout=dropout)) for _ in range(2)
    ]


def _made(kind: str) -> tuple[list[Transform], tuple[int, ...]]:
    if kind == "batch normalisation":
        return _image_steps(), _SHAPE
    if kind == "dropout":
        return _vector_steps(0.5), (4,)
    return [Residual((4,), contractive_mlp(4, context_dim=2)), *_vector_steps(0.0)], (4,)


def _outcome(kind: str, join: type[Chain] | type[ActivationCheckpoints], direction: str) -> tuple[list[Tensor], Any]:
    torch.manual_seed(0)
    steps, shape = _made(kind)
    whole = join(steps).double().train()
    with torch.no_grad():
        for parameter in whole.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    value = torch.randn(6, *shape, dtype=torch.float64, requires_grad=True)
    context = torch.randn(6, 2, dtype=torch.float64, requires_grad=True)
    noise = tuple(None if step.noise_to_latent is None else torch.ones(6, 4).double() for step in steps)
    out, log_term = getattr(whole, direction)(value, context, noise if any(n is not None for n in noise) else None)
    loss = out.sin().sum() + log_term.square().sum()
    # By the time of the backward pass the modules may be in another mode.
    whole.eval()
    wanted = [value, context, *whole.parameters()]
    gradients = [g for g in torch.autograd.grad(loss, wanted, allow_unused=True) if g is not None]
    return [loss.detach(), *gradients], whole.state_dict()


@pytest.mark.parametrize(
    ("kind", "direction"),
    [
        *((kind, direction) for kind in ("batch normalisation", "dropout") for direction in ("to_latent", "to_data")),
        ("power iterations", "to_latent"),
    ],
)
def test_values_gradients_and_moments_are_those_of_a_chain(kind: str, direction: str) -> None:
    wanted, state = _outcome(kind, Chain, direction)
    found, moments = _outcome(kind, ActivationCheckpoints, direction)
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=1e-12)
    for name, value in state.items():
        torch.testing.assert_close(moments[f"chain.{name}"], value, atol=0, rtol=0)


@pytest.mark.parametrize(("name", "options"), [("real_nvp", {"scales": 1}), ("nsf", {"scales": 1})])
def test_memory_saving_trains_the_same_flow_with_little_memory(name: str, options: dict[str, Any]) -> None:
    def made(saving: bool) -> Flow:
        torch.manual_seed(0)
        return flows.build(name, (1, 8, 8), channels=16, memory_saving=saving, **options)

    x, outcomes = torch.rand(16, 1, 8, 8).double(), []
    for flow in (made(False).double(), made(True).double()):
        flow.initialise(x)
        flow.train()
        optimiser = torch.optim.SGD(flow.parameters(), lr=1e-3)
        for _ in range(3):
            optimiser.zero_grad()
            flow.objective(x).value.backward()
            optimiser.step()
        outcomes.append([*flow.parameters(), *flow.buffers(), flow.eval().log_prob(x)])
    for one, other in zip(*outcomes, strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=1e-10)
    ordinary, saving = (
        stored_bytes(flow, partial(flow, x)) for flow in (made(False).double().eval(), made(True).double().eval())
    )
    assert saving < 0.1 * ordinary
    assert made(True).transform.eager is not None


def test_gradients_belong_to_the_parameters_of_the_first_pass() -> None:
    torch.manual_seed(0)
    whole = ActivationCheckpoints(_vector_steps(0.0))
    given = {name: (p.detach() + 0.1).requires_grad_() for name, p in whole.named_parameters()}
    x, context = torch.randn(3, 4), torch.randn(3, 2)
    z, _ = _with(whole, given, x, context)
    wanted, _ = _with(Chain(list(whole.chain)), {k.removeprefix("chain."): v for k, v in given.items()}, x, context)
    for one, other in zip(
        torch.autograd.grad(z.sum(), list(given.values()), allow_unused=True),
        torch.autograd.grad(wanted.sum(), list(given.values()), allow_unused=True),
        strict=True,
    ):
        assert (one is None) is (other is None)
        if one is not None:
            torch.testing.assert_close(one, other)


class _ToLatent(nn.Module):
    def __init__(self, transform: Transform) -> None:
        super().__init__()
        self.transform = transform

    def forward(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        return self.transform.to_latent(x, context)


def _with(transform: Transform, given: dict[str, Tensor], x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
    named = {f"transform.{name}": value for name, value in given.items()}
    out: tuple[Tensor, Tensor] = functional_call(_ToLatent(transform), named, (x, context))
    return out


def test_noise_of_the_steps_passes_through() -> None:
    whole = ActivationCheckpoints([Dequantise((2,), 4), BatchNorm((2,))])
    assert whole.kind == "bound"
    assert not whole.is_bijection
    x, noise = torch.tensor([[0.0, 3.0], [1.0, 2.0]]), (torch.rand(2, 2), None)
    for one, other in zip(whole.to_latent(x, None, noise), whole.chain.to_latent(x, None, noise), strict=True):
        torch.testing.assert_close(one, other)
