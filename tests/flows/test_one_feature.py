"""Every flow on a single coordinate, where no other coordinate is there to bend the density by."""

import pytest
import torch
from torch.distributions import Normal

from effects import GREEDY, options_of
from pushforward.flows import build, names
from pushforward.training import fit


def _two_bumps(n: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    side = torch.where(torch.rand(n, 1, generator=generator) < 0.5, -3.0, 3.0)
    return side + 0.5 * torch.randn(n, 1, generator=generator)


@pytest.mark.parametrize("name", names("vectors"))
def test_a_flow_on_one_feature_is_no_gaussian(name: str) -> None:
    torch.manual_seed(0)
    x, test = _two_bumps(4000, 0), _two_bumps(2000, 1)
    gaussian = Normal(x.mean(), x.std()).log_prob(test).mean()
    if name in GREEDY:
        flow = build(name, (1,), transforms=8)
        fit(flow, x, progress=False)
        assert flow.log_prob(test).mean() >= gaussian + 0.3
        return
    ends = {"low": -8.0, "high": 8.0} if name == "circular_nsf" else {}
    quick = {"training_tolerance": 1e-2, "adjoint": False, "kinetic": 0.0, "jacobian": 0.0}
    flow = build(name, (1,), **options_of(name, transforms=2, hidden=(16,), **quick), **ends)
    flow.initialise(x)
    objective = flow.objective
    # The gradients of a regression and of a bound by one draw are the noisier ones; steps of the first are the quicker.
    optimiser = torch.optim.Adam(flow.parameters(), 0.02 if name in ("flow_matching", "cif") else 0.05)
    for _ in range(20 if name == "flow_matching" else 3):
        flow.train()
        for _ in range(50):
            optimiser.zero_grad()
            loss = objective(x[torch.randint(0, len(x), (256,))]).value
            loss.backward()
            optimiser.step()
        if flow.eval().log_prob(test).mean() >= gaussian + 0.3:
            return
    raise AssertionError("150 steps, or 1000 of a regression, are not enough")
