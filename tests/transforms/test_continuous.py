"""Steps in continuous time: closed forms, the solver's error, gradients by two routes, regularisation, refusals."""

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from pushforward.bases import StandardNormal
from pushforward.errors import NumericsError, OptionError
from pushforward.flow import Flow
from pushforward.nets import ConcatSquashMLP, VectorField
from pushforward.training import TrainingOptions, fit
from pushforward.transforms import Continuous, continuous


class _Linear(VectorField):
    """``f(t, x) = A x``: the solution is ``exp(A) x``, its log-determinant the trace of A."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.matrix, self.event_shape = nn.Parameter(matrix), (matrix.shape[0],)

    def forward(self, t: Tensor, x: Tensor, context: Tensor | None = None) -> Tensor:
        return x @ self.matrix.t()


def _random_net(context: int = 0, scale: float = 0.6) -> ConcatSquashMLP:
    torch.manual_seed(0)
    net = ConcatSquashMLP(2, (16, 16), context, "tanh").double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(scale * torch.randn_like(parameter))
    return net


def test_a_linear_velocity_leads_to_the_matrix_exponential() -> None:
    matrix = torch.tensor([[0.3, -1.2], [0.8, -0.5]], dtype=torch.float64)
    x = torch.randn(9, 2, generator=torch.Generator().manual_seed(0)).double()
    for trace in ("exact", "hutchinson"):
        step = Continuous(_Linear(matrix), trace, tolerance=1e-9).eval()
        probe = torch.ones(9, 2).double() if trace == "hutchinson" else None
        z, log_term = step.to_latent(x, None, probe)
        torch.testing.assert_close(z, x @ torch.matrix_exp(matrix).t(), rtol=0, atol=1e-7)
        # With ones for a probe the estimate is the sum of all entries, which is not the trace.
        wanted = float(matrix.trace() if probe is None else matrix.sum())
        torch.testing.assert_close(log_term, torch.full_like(log_term, wanted), rtol=0, atol=1e-7)


def test_errors_follow_the_tolerance_and_tighter_ones_take_more_evaluations() -> None:
    step, x = Continuous(_random_net(), tolerance=1e-11).eval(), torch.randn(64, 2).double()
    with torch.no_grad():
        exact, exact_term = step.to_latent(x)
        errors, evaluations = [], []
        for tolerance in (1e-3, 1e-5, 1e-7):
            step.tolerance = tolerance
            z, term = step.to_latent(x)
            errors.append(float(torch.maximum((z - exact).abs().amax(), (term - exact_term).abs().amax())))
            evaluations.append(step.evaluations)
    assert all(error <= 100 * tolerance for error, tolerance in zip(errors, (1e-3, 1e-5, 1e-7), strict=True))
    assert errors[0] > errors[1] > errors[2]
    assert evaluations[0] < evaluations[1] < evaluations[2]


def test_training_uses_its_own_tolerance() -> None:
    step, x = Continuous(_random_net(), tolerance=1e-7, training_tolerance=1e-2), torch.randn(16, 2).double()
    step.train().to_latent(x)
    few = step.evaluations
    step.eval().to_latent(x)
    assert few < step.evaluations


@pytest.mark.parametrize("trace", ["exact", "hutchinson"])
def test_gradients_by_the_adjoint_are_those_through_the_steps(trace: str) -> None:
    net, x = _random_net(context=1), torch.randn(8, 2).double()
    found = []
    for adjoint in (True, False):
        step = Continuous(net, trace, 1e-9, adjoint=adjoint).eval()  # type: ignore[arg-type]
        at, context = x.clone().requires_grad_(), torch.linspace(-1, 1, 8).double()[:, None].requires_grad_()
        probe = torch.ones(8, 2).double() if trace == "hutchinson" else None
        z, log_term = step.to_latent(at, context, probe)
        value = (z.square().sum() + log_term.sum()) / 8
        found.append(torch.autograd.grad(value, [at, context, *net.parameters()]))
    for one, other in zip(*found, strict=True):
        assert one.abs().max() > 0
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_the_regularisation_is_the_integral_along_the_way() -> None:
    # Of a constant velocity: |f|^2 / D, and no Jacobian. Of a linear one: its squared entries.
    matrix = torch.tensor([[0.3, -1.2], [0.8, -0.5]], dtype=torch.float64)
    x = torch.zeros(3, 2).double()
    step = Continuous(_Linear(matrix), training_tolerance=1e-9, jacobian=0.5).train()
    terms = step.to_latent_with_regularisation(x)[2]
    torch.testing.assert_close(terms.jacobian, torch.full((3,), 0.5 * float(matrix.square().sum()) / 2).double())
    assert (terms.kinetic == 0).all()
    net = ConcatSquashMLP(2, (4,)).double()
    with torch.no_grad():
        net.layers[-1].bias.copy_(torch.tensor([3.0, 4.0]))
        nn.init.zeros_(net.squashes[-1].gate.weight)  # type: ignore[union-attr, arg-type]
        nn.init.zeros_(net.squashes[-1].gate.bias)  # type: ignore[union-attr, arg-type]
    step = Continuous(net, kinetic=1.0).train()
    z, _, terms = step.to_latent_with_regularisation(x)
    torch.testing.assert_close(z, torch.tensor([[1.5, 2.0]]).double().expand(3, 2))
    torch.testing.assert_close(terms.kinetic, torch.full((3,), (1.5**2 + 2**2) / 2).double())
    assert (terms.jacobian == 0).all()
    # Nothing of a graph stays in the module, which could not be copied then.
    step.train().to_latent(x)
    copy.deepcopy(step)


def test_what_cannot_be_solved_says_so_and_does_not_end_a_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(continuous, "_MAX_STEPS", 100)
    stiff = Continuous(_Linear(torch.tensor([[0.0, 1e5], [-1e5, 0.0]], dtype=torch.float64)))
    x = torch.ones(2, 2).double()
    with pytest.raises(NumericsError, match=r"could not be solved to tolerance 1e-05 in 100 steps"):
        stiff.eval().to_latent(x)
    z, log_term = stiff.train().to_latent(x)
    assert z.isnan().all()
    assert log_term.isnan().all()
    # A backward pass through it goes to the weights, and adds nothing to them that is worth a step.
    (z.sum() + log_term.sum()).backward()


@pytest.mark.parametrize("where", ["there", "back"])
def test_steps_of_a_training_that_no_solver_can_follow_are_skipped(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(continuous, "_MAX_STEPS", 100)
    if where == "there":
        step = Continuous(_random_net(), training_tolerance=1e-30)
    else:
        # Inwards so fast that the way back, which the adjoint goes, leaves the range of float32.
        step = Continuous(_Linear(-100 * torch.eye(2)))
    flow = Flow(StandardNormal((2,)), step).to(next(step.parameters()).dtype)
    x = torch.randn(32, 2).to(flow.dtype)
    options = TrainingOptions(steps=2, batch_size=16, epochs=None)
    assert fit(flow, x, options=options, progress=False).history[-1]["skipped"] == 2


def test_rows_that_are_no_numbers_or_far_away_disturb_no_other() -> None:
    step = Continuous(_random_net()).eval()
    x = torch.tensor([[0.5, -0.5], [math.nan, 0.0], [math.inf, 0.0], [1e30, 1.0]]).double()
    with torch.no_grad():
        z, log_term = step.to_latent(x)
        alone, term = step.to_latent(x[:1])
    torch.testing.assert_close(z[:1], alone, rtol=0, atol=1e-4)
    torch.testing.assert_close(log_term[:1], term, rtol=0, atol=1e-4)
    assert log_term[1:3].isnan().all()
    assert torch.equal(z[3], x[3])
    assert float(log_term[3]) == 0


def test_options_out_of_range_are_refused() -> None:
    net = ConcatSquashMLP(2, (4,))
    for name, value in (("tolerance", 0.0), ("training_tolerance", 1.0), ("kinetic", -1.0), ("jacobian", math.inf)):
        with pytest.raises(OptionError, match=name):
            Continuous(net, **{name: value})  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="trace 'none' is not known"):
        Continuous(net, "none")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="activation 'relu' is not known; expected one of softplus"):
        ConcatSquashMLP(2, (4,), activation="relu")
    with pytest.raises(OptionError, match="needs its noise"):
        Continuous(net, "hutchinson").to_latent(torch.zeros(1, 2))
