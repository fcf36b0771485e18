"""Convolutional nets, which write results into memory that nothing else needs."""

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from pushforward.nets import ActNormConvNet, ResidualConvNet


@pytest.mark.parametrize("kind", ["none", "batch", "instance", "Glow"])
def test_results_in_place_change_no_value_and_no_gradient(kind: str) -> None:
    torch.manual_seed(0)
    net: nn.Module = ActNormConvNet(2, 4, 8) if kind == "Glow" else ResidualConvNet(2, 4, 8, norm=kind)
    net.double().eval()
    parameters = {name: p + 0.3 * torch.randn_like(p) for name, p in net.named_parameters()}
    x = torch.randn(3, 2, 4, 4, dtype=torch.float64)
    before = x.clone()

    def loss(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        out: Tensor = functional_call(net, parameters, (x[None],))
        return out.sin().sum()

    leaves = {name: p.detach().requires_grad_() for name, p in parameters.items()}
    found = torch.autograd.grad(sum(loss(leaves, row) for row in x), list(leaves.values()))
    # Inside torch.func sums are new tensors.
    wanted = vmap(grad(loss), in_dims=(None, 0))({name: p.detach() for name, p in parameters.items()}, x)
    assert torch.equal(x, before)
    for one, other in zip(found, wanted.values(), strict=True):
        torch.testing.assert_close(one, other.sum(0), atol=1e-10, rtol=1e-10)
    name, p = next(iter(leaves.items()))
    step = torch.zeros_like(p)
    step.view(-1)[0] = 1e-6
    rise = sum(loss({**leaves, name: p + step}, row) - loss({**leaves, name: p - step}, row) for row in x) / 2e-6
    torch.testing.assert_close(rise.detach(), found[0].view(-1)[0], atol=1e-5, rtol=1e-4)
