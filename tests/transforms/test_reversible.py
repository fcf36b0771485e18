"""Steps of which no activations are kept: the same values and gradients as a chain's, in less memory."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from pushforward.errors import OptionError
from pushforward.maps import Affine, SoftClampScale
from pushforward.nets import MLP, ActNormConvNet, ResidualConvNet, contractive_mlp
from pushforward.transforms import (
    ActNorm,
    BatchNorm,
    Channelwise,
    Coupling,
    Dequantise,
    LULinear,
    Permutation,
    Residual,
    Reversible,
)
from pushforward.transforms.base import Chain, Transform
from pushforward.transforms.partition import half
from stored_memory import stored_bytes

_SHAPE = (4, 4, 4)


def _steps(count: int, context: int = 2, channels: int = 8) -> list[Transform]:
    steps: list[Transform] = []
    for _ in range(count):
        net = ActNormConvNet(2, 4, channels, context)
        coupling = Coupling(Channelwise(_SHAPE), Affine(SoftClampScale()), net)
        steps += [ActNorm(_SHAPE), LULinear(_SHAPE, "orthogonal"), Permutation(_SHAPE, (3, 1, 0, 2)), coupling]
    return steps


def _perturbed(steps: list[Transform], context: int = 2) -> Chain:
    chain = Chain(steps).double()
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(64, *_SHAPE, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        chain.initialise(x, x[:, 0, 0, :2] if context else None)
        for parameter in chain.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return chain


def _gradients(transform: Transform, direction: str, parameters: list[nn.Parameter]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    value = torch.randn(5, *_SHAPE, generator=generator, dtype=torch.float64, requires_grad=True)
    context = torch.randn(5, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    out, log_term = getattr(transform, direction)(value, context)
    loss = (out.sin().flatten(1).sum(1) * torch.arange(5) + log_term.square()).sum()
    return [loss.detach(), *torch.autograd.grad(loss, [value, context, *parameters])]


@pytest.mark.parametrize("direction", ["to_latent", "to_data"])
def test_gradients_are_those_of_a_chain(direction: str) -> None:
    torch.manual_seed(0)
    chain = _perturbed(_steps(3))
    parameters = list(chain.parameters())
    wanted = _gradients(chain, direction, parameters)
    # The very same steps, so that there are no weights to copy.
    found = _gradients(Reversible(list(chain)), direction, parameters)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, atol=1e-8, rtol=1e-8)


def test_only_what_wants_a_gradient_gets_one() -> None:
    torch.manual_seed(0)
    chain = _perturbed(_steps(1, context=0), context=0)
    frozen = next(chain.parameters())
    frozen.requires_grad_(False)
    z, log_term = Reversible(list(chain)).to_latent(torch.randn(3, *_SHAPE, dtype=torch.float64))
    (z.sum() + log_term.sum()).backward()
    assert frozen.grad is None
    assert all(p.grad is not None for p in chain.parameters() if p is not frozen)


def test_under_autocast_the_second_run_is_as_precise_as_the_first() -> None:
    torch.manual_seed(0)
    chain = _perturbed(_steps(2)).float()
    x, context = torch.randn(5, *_SHAPE), torch.randn(5, 2)

    def gradients(transform: Transform) -> list[Tensor]:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            z, log_term = transform.to_latent(x, context)
        loss = z.square().sum() - log_term.sum()
        return list(torch.autograd.grad(loss, list(chain.parameters())))

    for found, wanted in zip(gradients(Reversible(list(chain))), gradients(chain), strict=True):
        torch.testing.assert_close(found, wanted, atol=2e-2 * float(wanted.abs().max()), rtol=0)


def test_memory_does_not_grow_with_the_number_of_steps() -> None:
    torch.manual_seed(0)
    x, context = torch.randn(64, *_SHAPE), torch.randn(64, 2)
    chains = [Chain(_steps(count, channels=32)) for count in (2, 4, 8)]
    saving_chains = [Reversible(list(chain)) for chain in chains]
    ordinary = [stored_bytes(chain, partial(chain.to_latent, x, context)) for chain in chains]
    saving = [stored_bytes(chain, partial(chain.to_latent, x, context)) for chain in saving_chains]
    assert ordinary[2] > 3.5 * ordinary[0]
    assert saving[0] == saving[2] == (x.numel() + context.numel()) * 4
    assert ordinary[2] > 100 * saving[2]


@pytest.mark.parametrize(
    ("steps", "named"),
    [
        ([BatchNorm((4,))], "BatchNorm would"),
        ([Coupling(half(4), Affine(SoftClampScale()), MLP(2, 4, dropout=0.5))], "Dropout"),
        ([Coupling(Channelwise(_SHAPE), Affine(SoftClampScale()), ResidualConvNet(2, 4, 4))], "BatchNorm2d"),
        ([Dequantise((4,), 5)], "without noise"),
        ([Residual((4,), contractive_mlp(4))], "LipschitzLinear would"),
    ],
    ids=["batch norm", "dropout", "batch norm in a net", "noise", "power iterations"],
)
def test_what_answers_differently_the_second_time_is_refused(steps: list[Transform], named: str) -> None:
    with pytest.raises(OptionError, match=named):
        Reversible(steps)
