"""Flow matching: its paths, its pairs, and that what it learns is the flow that the paths make."""

import math
from itertools import permutations

import pytest
import torch
from torch import Tensor

from pushforward import fit
from pushforward.errors import OptionError
from pushforward.flows import build
from pushforward.objectives import FlowMatching, Interpolant
from pushforward.objectives.flow_matching import along, assigned
from pushforward.training import TrainingOptions

_PATHS: tuple[Interpolant, ...] = ("optimal-transport", "variance-preserving")


@pytest.mark.parametrize("path", _PATHS)
def test_paths_lead_from_the_datum_to_the_noise_with_the_velocity_they_say(path: Interpolant) -> None:
    x, e = torch.randn(5, 2).double(), torch.randn(5, 2).double()
    torch.testing.assert_close(along(path, x, e, torch.zeros(5, 1).double())[0], x, rtol=0, atol=1e-3)
    torch.testing.assert_close(along(path, x, e, torch.ones(5, 1).double())[0], e, rtol=0, atol=1e-12)
    t = torch.rand(5, 1).double()
    ahead, behind = along(path, x, e, t + 1e-5)[0], along(path, x, e, t - 1e-5)[0]
    torch.testing.assert_close(along(path, x, e, t)[1], (ahead - behind) / 2e-5, rtol=0, atol=1e-8)


def test_optimal_pairs_are_the_best_of_all() -> None:
    x, e = torch.randn(5, 2), torch.randn(5, 2)
    cost = torch.stack([(x - e[list(order)]).square().sum() for order in permutations(range(5))])
    chosen = assigned(x, e)
    assert sorted(chosen.tolist()) == list(range(5))
    torch.testing.assert_close((x - e[chosen]).square().sum(), cost.min())


def _gaussian_velocity(x: Tensor, t: Tensor, deviation: float) -> Tensor:
    """The straight paths' mean velocity where data are ``N(0, deviation^2)``: ``E[e - x | x_t]``, linear in x_t."""
    return x * (t - (1 - t) * deviation**2) / (t**2 + (1 - t) ** 2 * deviation**2)


def test_a_gaussian_is_learned_with_the_velocity_that_theory_gives() -> None:
    torch.manual_seed(0)
    flow = build("flow_matching", (1,), hidden=(32, 32), standardise=False)
    data = 0.5 * torch.randn(4000, 1)
    result = fit(flow, data, options=TrainingOptions(steps=1200, lr=5e-3, batch_size=512), progress=False)
    exact = -0.5 - math.log(0.5 * math.sqrt(2 * math.pi))
    assert result.best_validation == pytest.approx(exact, abs=0.08)
    step = next(part for part in flow.transform if hasattr(part, "field"))  # type: ignore[attr-defined]
    x = torch.linspace(-0.5, 0.5, 9)[:, None]
    for time in (0.2, 0.5, 0.8):
        with torch.no_grad():
            found = step.field(torch.tensor(time), x)
        assert (found - _gaussian_velocity(x, torch.tensor(time), 0.5)).square().mean().sqrt() <= 0.15


def test_the_loss_is_the_mean_square_of_what_a_velocity_of_zero_misses() -> None:
    flow = build("flow_matching", (3,), hidden=(4,), standardise=False)
    x, e, t = torch.randn(6, 3), torch.randn(6, 3), torch.rand(6)
    loss = flow.objective(x, noise=(None, e, t)).value
    torch.testing.assert_close(loss, ((1 - 1e-4) * e - x).square().mean())


def test_the_loss_is_shown_under_its_name_and_is_no_likelihood(capsys: pytest.CaptureFixture[str]) -> None:
    flow = build("flow_matching", (2,), hidden=(4,))
    assert isinstance(flow.objective, FlowMatching)
    fit(flow, torch.randn(200, 2), options=TrainingOptions(steps=3))
    shown = capsys.readouterr().err
    assert "flow-matching loss" in shown
    assert "train " not in shown


def test_what_would_learn_another_density_is_refused() -> None:
    with pytest.raises(OptionError, match="noise must not be chosen by the context"):
        build("flow_matching", (2,), context_dim=1, coupling="optimal")
    with pytest.raises(OptionError, match="a regression does not train it"):
        build("flow_matching", (2,), levels=4, dequantisation="variational")
    with pytest.raises(OptionError, match="trains one Continuous in a chain, got 2"):
        FlowMatching(build("ffjord", (2,), transforms=2, hidden=(4,)))
