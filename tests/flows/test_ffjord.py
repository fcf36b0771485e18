"""FFJORD: its options reach the steps that they are for."""

import torch

from pushforward.flows import build
from pushforward.transforms import Continuous


def test_the_options_of_training_reach_every_step_under_their_own_names() -> None:
    options = {"training_tolerance": 0.02, "kinetic": 0.3, "jacobian": 0.4, "adjoint": False}
    for event_shape in ((2,), (1, 4, 4)):
        flow = build("ffjord", event_shape, transforms=2, hidden=(4,), tolerance=1e-3, **options)
        steps = [m for m in flow.modules() if isinstance(m, Continuous)]
        assert len(steps) >= 2
        for step in steps:
            assert {name: getattr(step, name) for name in options} == options
            assert step.tolerance == 1e-3


def test_the_loss_charges_both_terms_of_the_regularisation() -> None:
    torch.manual_seed(0)
    flow = build("ffjord", (2,), hidden=(4,), kinetic=0.3, jacobian=0.4, standardise=False)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    x = torch.randn(5, 2)
    loss = flow.objective(x)
    kinetic, jacobian = loss.parts["kinetic"], loss.parts["jacobian"]
    assert kinetic > 0
    assert jacobian > 0
    torch.testing.assert_close(loss.value, kinetic + jacobian - flow.log_prob(x).mean(), atol=1e-4, rtol=1e-4)
