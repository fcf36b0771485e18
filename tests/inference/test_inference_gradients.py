"""The path gradient is an estimator of the bound's gradient, without variance where the flow is the target."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from pushforward import flows
from pushforward.bases import StandardNormal
from pushforward.flow import Flow
from pushforward.inference.gradients import choose_route, reached, scoring_cost
from pushforward.objectives import Loss, PathELBO
from pushforward.objectives.path_elbo import Route, draw, grad_log_q
from pushforward.transforms.base import Inverse

ROUTES: tuple[Route, ...] = ("scoring", "jacobian")


def small_flow(context_dim: int = 0, features: int = 2, base: str = "normal") -> Flow:
    """A flow away from its start, in float64."""
    torch.manual_seed(0)
    flow = flows.build("real_nvp", (features,), context_dim=context_dim, transforms=2, hidden=(4,), base=base)
    with torch.no_grad():
        for p in flow.parameters():
            p.add_(0.2 * torch.randn_like(p))
    return flow.double().eval()


def curved(x: Tensor) -> Tensor:
    """A target that is not Gaussian."""
    return -(x[:, 0] - x[:, 1].square()).square() - 0.3 * (x - 1).square().sum(1)


def gradient(
    flow: Flow,
    target: Callable[..., Tensor],
    route: Route | None,
    seed: int,
    n: int = 32,
    context: Tensor | None = None,
) -> Tensor:
    backward(flow, target, route, seed, n, context)
    return torch.cat([p.grad.flatten() for p in flow.parameters() if p.grad is not None]).clone()


def backward(
    flow: Flow,
    target: Callable[..., Tensor],
    route: Route | None,
    seed: int,
    n: int,
    context: Tensor | None = None,
    weight: float = 1.0,
) -> Loss:
    """The loss of ``n`` samples, whose gradients the parameters then hold."""
    flow.zero_grad()
    objective = PathELBO(flow, target, route)
    z, noise = objective.draw(n, context, torch.Generator().manual_seed(seed))
    loss = objective(z, context, noise, weight)
    loss.value.backward()  # type: ignore[no-untyped-call]
    return loss


def test_path_and_plain_gradient_agree_in_the_mean() -> None:
    flow = small_flow()
    pairs = [(gradient(flow, curved, "scoring", seed), gradient(flow, curved, None, seed)) for seed in range(100)]
    path, plain = (torch.stack(side) for side in zip(*pairs, strict=True))
    difference = path - plain
    error = difference.std(0) / len(pairs) ** 0.5
    assert (error > 0).all()
    assert (difference.mean(0).abs() < 4 * error).all()
    # The comparison is no empty one: the mean gradient is far from 0.
    assert (path.mean(0).abs() > 20 * path.std(0) / len(pairs) ** 0.5).any()


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("context_dim", [0, 3])
def test_path_gradient_vanishes_sample_by_sample_where_the_flow_is_the_target(route: Route, context_dim: int) -> None:
    flow = small_flow(context_dim)
    context = torch.randn(4, context_dim, dtype=torch.float64) if context_dim else None
    target = copy.deepcopy(flow)

    def shifted(*given: Tensor) -> Tensor:
        return target.log_prob(*given) + 7.0

    assert gradient(flow, shifted, route, 0, 4, context).abs().max() < 1e-12
    assert gradient(flow, shifted, None, 0, 4, context).abs().max() > 1e-2


@pytest.mark.parametrize("base", ["normal", "logistic", "learned-normal", "student-t", "mixture"])
def test_both_routes_find_the_gradient_of_the_log_density(base: str) -> None:
    flow = small_flow(features=3, base=base)
    drawn = draw(flow, 5, None, torch.Generator().manual_seed(0))
    by_scoring, by_jacobian = (grad_log_q(flow, route, drawn, None) for route in ROUTES)
    torch.testing.assert_close(by_jacobian, by_scoring, rtol=1e-9, atol=1e-9)


def test_samples_carry_gradients_as_sample_and_log_prob_gives_them() -> None:
    flow = small_flow(base="learned-normal")
    drawn = draw(flow, 5, None, torch.Generator().manual_seed(3))
    x, log_q = flow.sample_and_log_prob(5, generator=torch.Generator().manual_seed(3))
    assert torch.equal(drawn.x, x)
    assert torch.equal(drawn.log_q, log_q)
    for ours, theirs in ((drawn.x, x), (drawn.log_q, log_q)):
        found, wanted = (torch.autograd.grad(v.sum(), [*flow.parameters()], retain_graph=True) for v in (ours, theirs))
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("name", ["nice", "real_nvp", "nsf", "maf", "naf"])
def test_flows_that_score_in_one_pass_take_the_path_gradient_by_scoring(name: str) -> None:
    flow = flows.build(name, (8,), transforms=2)
    assert choose_route(flow, "auto", None) == ("scoring", None)
    assert choose_route(flow, "reparameterised", None) == (None, None)


def test_where_scoring_is_dear_few_coordinates_go_by_the_jacobian() -> None:
    numeric = Flow(StandardNormal((2,)), Inverse(flows.build("sos", (2,), transforms=1, standardise=False).transform))
    assert scoring_cost(numeric, None) > 5
    assert choose_route(numeric, "auto", None) == ("jacobian", None)


def test_where_scoring_is_dear_many_coordinates_take_the_plain_gradient_unless_told_otherwise() -> None:
    flow = flows.build("iaf", (16,), transforms=2)
    route, message = choose_route(flow, "auto", None)
    assert route is None
    assert message is not None
    assert "times the operations of drawing it: using the plain reparameterised gradient" in message
    route, message = choose_route(flow, "path", None)
    assert route == "scoring"
    assert message is not None
    assert "gradient='reparameterised' avoids that" in message


def test_weights_of_a_mixture_base_are_not_reached() -> None:
    chosen, without = reached(small_flow(base="mixture"), None)
    assert without == ["base.logits"]
    assert chosen


@pytest.mark.parametrize("route", [None, "scoring"])
def test_a_weight_flattens_the_target_in_the_gradient_and_not_in_the_value(route: Route | None) -> None:
    flow = small_flow()
    flattened = gradient(flow, lambda x: 0.3 * curved(x), route, 0)
    loss = backward(flow, curved, route, 0, 32, weight=0.3)
    drawn = draw(flow, 32, None, torch.Generator().manual_seed(0))
    found = torch.cat([p.grad.flatten() for p in flow.parameters() if p.grad is not None])
    torch.testing.assert_close(found, flattened)
    torch.testing.assert_close(loss.parts["elbo"], (curved(drawn.x) - drawn.log_q).mean().detach())
    torch.testing.assert_close(loss.value.detach(), -loss.parts["elbo"])


def test_the_unusable_samples_are_left_out_and_the_others_count_alone() -> None:
    flow = small_flow()
    drawn = draw(flow, 8, None, torch.Generator().manual_seed(0))
    kept = drawn.x[:, 0] > 0
    assert 0 < int(kept.sum()) < 8

    def half(x: Tensor) -> Tensor:
        # The square root is NaN on the left, with a gradient of NaN.
        return curved(x) + 0 * x[:, 0].sqrt()

    for route in (None, "scoring"):
        loss = backward(flow, half, route, 0, 8)
        assert int(loss.parts["left_out"]) == 8 - int(kept.sum())
        assert loss.parts["elbo"].item() == pytest.approx((curved(drawn.x) - drawn.log_q)[kept].mean().item())
        assert all(p.grad.isfinite().all() for p in flow.parameters() if p.grad is not None)
        among_others = torch.cat([p.grad.flatten() for p in flow.parameters() if p.grad is not None])
        flow.zero_grad()
        alone = PathELBO(flow, curved, route)(drawn.z.detach()[kept])
        alone.value.backward()  # type: ignore[no-untyped-call]
        wanted = torch.cat([p.grad.flatten() for p in flow.parameters() if p.grad is not None])
        torch.testing.assert_close(among_others, wanted)
