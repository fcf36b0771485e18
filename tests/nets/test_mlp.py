"""The multi-layer perceptron."""

import torch

from pushforward.nets import MLP


def test_inputs_beyond_a_million_count_as_a_million() -> None:
    torch.manual_seed(0)
    net = MLP(2, 3, (8, 8), context_dim=1, residual=True, zero=False)
    x, c = torch.tensor([[1e30, -1e9], [2.0, -3.0]]), torch.tensor([[-1e20], [0.5]])
    assert torch.equal(net(x, c), net(x.clamp(-1e6, 1e6), c.clamp(-1e6, 1e6)))
