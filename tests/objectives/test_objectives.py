"""Objectives: their losses and gradients are those of the written-out formulas, and they belong to their flow."""

from __future__ import annotations

import copy
import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pushforward import flows
from pushforward import noise as noise_source
from pushforward.bases import StandardNormal
from pushforward.errors import OptionError, ShapeError
from pushforward.flow import Flow
from pushforward.nets import VectorField
from pushforward.objectives import FlowMatching, Loss, MaximumLikelihood, PathELBO, RegularisedLikelihood
from pushforward.objectives.path_elbo import Route
from pushforward.transforms import Continuous, Identity
from pushforward.transforms.base import Chain, Inverse


def rows(n: int = 8, features: int = 2) -> Tensor:
    return torch.randn(n, features, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def random_flow(name: str, **options: Any) -> Flow:
    """A flow away from its start, in float64 and in training mode."""
    torch.manual_seed(0)
    flow = flows.build(name, (2,), standardise=False, **options).double()
    with torch.no_grad():
        for p in flow.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return flow


def gradients(value: Tensor, flow: nn.Module) -> list[Tensor]:
    return list(torch.autograd.grad(value, [p for p in flow.parameters() if p.requires_grad]))


def assert_same_gradients(loss: Loss, formula: Tensor, flow: nn.Module, **bars: float) -> None:
    torch.testing.assert_close(loss.value, formula, **bars)  # type: ignore[arg-type]
    found, wanted = gradients(loss.value, flow), gradients(formula, flow)
    assert max(float(g.abs().max()) for g in wanted) > 1e-3
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, **bars)  # type: ignore[arg-type]


def test_maximum_likelihood_with_l2_is_the_written_out_formula() -> None:
    flow, x = random_flow("real_nvp", transforms=3, hidden=(8,), penalty=0.7), rows()
    z, log_term = flow.transform.to_latent(x)
    log_likelihood = (-0.5 * z.square().sum(1) - math.log(2 * math.pi) + log_term).mean()
    squares = torch.stack([p.square() for name, p in flow.named_parameters() if name.endswith("rescale")])
    assert len(squares) == 3
    loss = flow.objective(x)
    assert_same_gradients(loss, 0.7 * squares.sum() - log_likelihood, flow)
    assert loss.parts.keys() == {"log_likelihood", "l2"}
    torch.testing.assert_close(loss.parts["log_likelihood"], log_likelihood.detach())
    torch.testing.assert_close(loss.parts["l2"], 0.7 * squares.sum().detach())


def test_weights_that_are_frozen_are_not_penalised() -> None:
    flow = random_flow("real_nvp", transforms=1, hidden=(8,), penalty=0.7)
    for name, p in flow.named_parameters():
        p.requires_grad_(not name.endswith("rescale"))
    assert flow.objective(rows()).parts.keys() == {"log_likelihood"}


class _Linear(VectorField):
    """``f(t, x) = A x``."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.tensor([[0.3, -1.2], [0.8, -0.5]], dtype=torch.float64))
        self.event_shape = (2,)

    def forward(self, t: Tensor, x: Tensor, context: Tensor | None = None) -> Tensor:
        return x @ self.matrix.t()


@pytest.mark.parametrize("mode", [True, False])
def test_the_regularised_likelihood_is_the_closed_form_of_a_linear_velocity(mode: bool) -> None:
    x, field = rows(), _Linear()
    step = Continuous(field, tolerance=1e-10, training_tolerance=1e-10, adjoint=False, kinetic=0.2, jacobian=0.3)
    flow = Flow(StandardNormal((2,)), Chain([Identity((2,)), step]), objective=RegularisedLikelihood).double()
    flow.train(mode)
    loss = flow.objective(x)
    a = field.matrix
    z = x @ torch.matrix_exp(a).T
    log_likelihood = (-0.5 * z.square().sum(1) - math.log(2 * math.pi) + a.trace()).mean()
    # The integral of |A x(t)|^2 / 2 over the way, by Gauss-Legendre.
    at, weight = ((torch.tensor(v) + s) / 2 for v, s in zip(_LEGENDRE, (1.0, 0.0), strict=True))
    speeds = [(x @ torch.matrix_exp(t * a).T @ a.T).square().sum(1) / 2 for t in at]
    kinetic = 0.2 * sum((w * speed for w, speed in zip(weight, speeds, strict=True)), torch.zeros(8)).mean()
    jacobian = 0.3 * a.square().sum() / 2
    assert_same_gradients(loss, kinetic + jacobian - log_likelihood, flow, rtol=1e-6, atol=1e-7)
    for name, part in (("log_likelihood", log_likelihood), ("kinetic", kinetic), ("jacobian", jacobian)):
        torch.testing.assert_close(loss.parts[name], part.detach(), rtol=1e-6, atol=1e-7)


_LEGENDRE = tuple(map(list, zip(*[(-0.9324695142031521, 0.1713244923791704), (-0.6612093864662645, 0.3607615730481386),
    (-0.2386191860831969, 0.4679139345726910), (0.2386191860831969, 0.4679139345726910),
    (0.6612093864662645, 0.3607615730481386), (0.9324695142031521, 0.1713244923791704)], strict=True)))  # fmt: skip


def test_every_step_of_a_chain_and_of_every_scale_is_regularised() -> None:
    options = {"hidden": (4,), "kinetic": 0.5, "jacobian": 0.0, "training_tolerance": 1e-6}
    torch.manual_seed(0)
    for shape, more, count in (((2,), {"transforms": 3}, 3), ((1, 4, 4), {"transforms": 1, "scales": 2}, 2)):
        flow = flows.build("ffjord", shape, standardise=False, **{**options, **more}) if len(shape) == 1 else None
        flow = flow or flows.build("ffjord", shape, **{**options, **more})
        flow = flow.double()
        with torch.no_grad():
            for p in flow.parameters():
                p.add_(0.2 * torch.randn_like(p))
        x = torch.rand(4, *shape, dtype=torch.float64)
        noise = noise_source.draw(flow.objective.noise, 4, x.dtype, x.device, torch.Generator().manual_seed(0))
        steps = [module for module in flow.modules() if isinstance(module, Continuous)]
        assert len(steps) == count
        whole = flow.objective(x, None, noise).parts["kinetic"]
        alone = []
        for step in steps:
            for other in steps:
                other.kinetic = 0.5 if other is step else 0.0
            alone.append(flow.objective(x, None, noise).parts["kinetic"])
        assert min(alone) > 0
        torch.testing.assert_close(sum(alone), whole, rtol=1e-4, atol=1e-5)


def test_without_a_continuous_step_the_regularised_likelihood_is_the_likelihood() -> None:
    flow = Flow(StandardNormal((2,)), Identity((2,)), objective=RegularisedLikelihood).double()
    loss = flow.objective(rows())
    torch.testing.assert_close(loss.value, -flow.log_prob(rows()).mean())
    assert loss.parts["kinetic"] == loss.parts["jacobian"] == 0


def test_a_step_that_cannot_be_regularised_is_refused() -> None:
    flow = Flow(StandardNormal((2,)), Inverse(Continuous(_Linear())), objective=RegularisedLikelihood).double()
    with pytest.raises(OptionError, match="1 of 1 Continuous steps lie inside transforms that do not pass"):
        flow.objective(rows())


@pytest.mark.parametrize("path", ["optimal-transport", "variance-preserving"])
def test_flow_matching_is_the_regression_on_the_paths(path: str) -> None:
    flow, x = random_flow("flow_matching", hidden=(8,), path=path), rows()
    e, t = rows(9)[1:] + 1, torch.linspace(0.1, 0.9, 8, dtype=torch.float64)
    loss = flow.objective(x, None, (None, e, t))
    (field,) = (module for module in flow.modules() if isinstance(module, VectorField))
    s = t[:, None]
    if path == "optimal-transport":
        at, velocity = (1 - s) * x + (1e-4 + (1 - 1e-4) * s) * e, (1 - 1e-4) * e - x
    else:
        half = math.pi / 2
        at = (half * s).cos() * x + (half * s).sin() * e
        velocity = half * ((half * s).cos() * e - (half * s).sin() * x)
    assert_same_gradients(loss, (field(t, at) - velocity).square().mean(), flow)
    assert loss.parts.keys() == {"flow_matching"}
    assert flow.objective.loss_name == "flow-matching loss"


def test_flow_matching_refuses_other_noise_and_draws_its_own() -> None:
    objective = random_flow("flow_matching", hidden=(8,)).objective
    with pytest.raises(ShapeError, match="noise: a tuple of 3 parts expected, got none"):
        noise_source.require(None, objective.noise, 8)
    with pytest.raises(ShapeError, match=r"noise: shape \(8, 2\) expected, got shape \(7, 2\)"):
        objective(rows(), None, (None, rows(7), torch.zeros(8)))
    assert objective(rows()).value != objective(rows()).value


def curved(x: Tensor) -> Tensor:
    return -(x[:, 0] - x[:, 1].square()).square() - 0.3 * (x - 1).square().sum(1)


@pytest.mark.parametrize("route", [None, "scoring", "jacobian"])
def test_the_elbo_has_the_gradient_of_its_written_out_estimator(route: Route | None) -> None:
    flow = random_flow("real_nvp", transforms=2, hidden=(8,), base="learned-normal").eval()
    z, noise = PathELBO(flow, curved).draw(8, None, torch.Generator().manual_seed(0))
    loss = PathELBO(flow, curved, route)(z, None, noise)
    again, _ = PathELBO(flow, curved).draw(8, None, torch.Generator().manual_seed(0))
    x, log_term = flow.transform.to_data(again)
    # The path gradient: the weights of the density are held fixed, those of the samples are not.
    fixed = copy.deepcopy(flow).requires_grad_(False)
    log_q = flow.base.log_prob(again) - log_term if route is None else fixed.log_prob(x)
    assert_same_gradients(loss, -(curved(x) - log_q).mean(), flow)
    torch.testing.assert_close(loss.parts["elbo"], -loss.value.detach())
    assert loss.parts["left_out"] == 0


def test_a_user_s_own_loop_over_the_objective_keeps_the_penalty() -> None:
    norms = []
    for penalty in (0.0, 1.0):
        torch.manual_seed(0)
        flow = flows.build("real_nvp", (2,), transforms=2, hidden=(8,), penalty=penalty)
        optimiser = torch.optim.SGD(flow.parameters(), 0.1)
        for _ in range(5):
            optimiser.zero_grad()
            flow.objective(torch.ones(4, 2)).value.backward()
            optimiser.step()
        squares = [p.detach().square() for name, p in flow.named_parameters() if name.endswith("rescale")]
        norms.append(sum(map(float, squares)))
    assert norms[1] < 0.3 * norms[0]


@pytest.mark.parametrize(
    "make", [None, partial(MaximumLikelihood, l2=1.0), RegularisedLikelihood, FlowMatching], ids=str
)
def test_an_objective_leaves_its_flow_as_it_is(make: Any) -> None:
    plain = Flow(StandardNormal((2,)), Chain([Continuous(_Linear())])).double()
    flow = Flow(StandardNormal((2,)), Chain([Continuous(_Linear())]), objective=make).double().eval()
    before = list(flow.state_dict())
    objective = flow.objective
    assert list(flow.state_dict()) == before == list(plain.state_dict())
    assert not objective.training
    assert [*objective.parameters()] == [*flow.parameters()]
    other = copy.deepcopy(flow)
    assert other.objective.flow is other
    assert type(other.objective) is type(objective)
    both = copy.deepcopy(objective)
    assert next(both.parameters()) is not next(flow.parameters())
    assert all(p is q for p, q in zip(both.parameters(), both.flow.parameters(), strict=True))


def test_a_copied_objective_penalises_its_own_flow() -> None:
    objective = random_flow("real_nvp", transforms=2, hidden=(8,), penalty=1.0).objective
    assert isinstance(objective, MaximumLikelihood)
    other = copy.deepcopy(objective)
    own = {id(p) for p in other.parameters()}
    assert len(other.scale_parameters()) == 2
    assert all(id(p) in own for p in other.scale_parameters())


def test_a_penalty_below_zero_is_refused() -> None:
    with pytest.raises(OptionError, match="l2 must be finite and not negative, got -1"):
        MaximumLikelihood(random_flow("nice", transforms=1, hidden=(4,)), l2=-1)
