"""Locating what is not finite, and recovering from it."""

from __future__ import annotations

import math

import pytest
import torch
from failing_transform import Failing, failing_flow

from pushforward import flows
from pushforward.bases import StandardNormal
from pushforward.errors import NumericsError
from pushforward.flow import Flow
from pushforward.maps.affine import Affine, TanhScale
from pushforward.nets import MLP
from pushforward.objectives import MaximumLikelihood
from pushforward.training import FitFailed, TrainingOptions, fit
from pushforward.training.numerics import Recovery, locate_nonfinite
from pushforward.transforms import BatchNorm, Coupling, Elementwise, Identity, Reversible
from pushforward.transforms.base import Chain
from pushforward.transforms.partition import half


def always(call):
    return True


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("value", "transform 2 (Failing) of Chain gives non-finite latents"),
        ("log", "transform 2 (Failing) of Chain gives a non-finite log term"),
    ],
)
def test_the_first_nonfinite_transform_is_named(what, words):
    flow = failing_flow(when=always, what=what).train()
    state = {k: v.clone() for k, v in flow.state_dict().items()}
    assert locate_nonfinite(flow, torch.randn(5, 2)) == words
    assert all(torch.equal(v, state[k]) for k, v in flow.state_dict().items())


def test_a_nonfinite_gradient_is_named_where_it_arose():
    flow = failing_flow(when=always, what="gradient").train()
    x = torch.randn(5, 2)
    (-flow(x).mean()).backward()
    found = locate_nonfinite(flow, x)
    assert found == ("transform 2 (Failing) of Chain has a non-finite gradient in shift, though all values are finite")


def test_nonfinite_weights_are_named_inside_a_multi_scale_flow():
    flow = flows.build("real_nvp", event_shape=(1, 8, 8), levels=4, channels=2, blocks=0, scales=2)
    scale = flow.transform.transforms[2].scales[1]
    with torch.no_grad():
        scale.transforms[3].net.last.bias.fill_(torch.nan)
    found = locate_nonfinite(flow, torch.zeros(2, 1, 8, 8))
    assert found == (
        "transform 3 (Coupling) of scale 1 of transform 2 (MultiScale) of Chain has non-finite weights (net.last.bias)"
    )


def test_nonfinite_weights_are_named_inside_steps_that_save_memory():
    flow = flows.build("glow", event_shape=(1, 4, 4), transforms=1, channels=2, scales=1, memory_saving=True)
    scale = flow.transform.transforms[1].scales[0]
    inside = next(step for step in (scale, *scale.modules()) if isinstance(step, Reversible))
    place = next(i for i, step in enumerate(inside.chain) if isinstance(step, Coupling))
    with torch.no_grad():
        inside.chain.transforms[place].net.last.bias.fill_(torch.nan)
    found = locate_nonfinite(flow, torch.zeros(2, 1, 4, 4))
    assert found.startswith(f"transform {place} (Coupling) of ")
    assert "has non-finite weights (net.last.bias)" in found


def test_a_net_that_overflows_is_named():
    net = MLP(1, 2, (4,))
    with torch.no_grad():
        for p in net.parameters():
            p.fill_(3e38)
    flow = Flow(StandardNormal((2,)), Chain([Identity((2,)), Coupling(half(2), Affine(TanhScale()), net)]))
    found = locate_nonfinite(flow, torch.ones(3, 2))
    assert found == "transform 1 (Coupling) of Chain gets non-finite parameters from its net"


def test_bad_input_and_a_sound_flow_are_told_apart():
    flow = failing_flow()
    assert locate_nonfinite(flow, torch.full((2, 2), torch.inf)) == "the batch itself has non-finite values"
    assert locate_nonfinite(flow, torch.zeros(2, 2)) == "every value and gradient is finite"


def test_the_base_is_named_where_only_it_fails():
    flow = failing_flow()
    flow.base.log_prob = lambda z, context=None: torch.full((len(z),), torch.nan)
    assert locate_nonfinite(flow, torch.zeros(2, 2)) == "the base (StandardNormal) gives a non-finite log-density"


def run(flow, steps=40, **options):
    x = torch.randn(200, 2, generator=torch.Generator().manual_seed(1)) + 3
    chosen = {"steps": steps, "batch_size": 20, "schedule": "constant", "validate_every": 10, "lr": 0.01, **options}
    return fit(flow, x[:150], validation=x[150:], options=TrainingOptions(**chosen), progress=False)


@pytest.mark.parametrize("what", ["value", "log", "gradient"])
def test_a_nonfinite_step_is_skipped_without_a_trace(what):
    flow = failing_flow(when=lambda call: call in (5, 6, 12), what=what)
    result = run(flow)
    assert result.history[-1]["skipped"] == 3
    assert len(result.notes) == 1
    assert result.notes[0].startswith("3 of 40 steps were skipped, with their rows")
    assert "transform 2 (Failing) of Chain" in result.notes[0]
    assert math.isfinite(result.best_validation)
    assert all(v.isfinite().all() for v in flow.state_dict().values())


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_ten_in_a_row_go_back_at_half_the_rate_and_name_the_transform(ema):
    flow = failing_flow(when=lambda call: 15 < call <= 25)
    result = run(flow, ema=ema)
    assert len(result.notes) == 1
    assert "transform 2 (Failing) of Chain gives non-finite latents" in result.notes[0]
    assert "last good weights at 0.5 times the learning rate" in result.notes[0]
    assert result.history[-1]["lr"] == pytest.approx(0.005)
    assert result.steps == 40


def test_clipping_does_not_spread_a_nan_gradient_to_the_transforms_after_it():
    layers = [Failing(when=lambda call: call <= 10, what="gradient"), Failing()]
    flow = Flow(StandardNormal((2,)), Chain(layers))
    result = fit(flow, torch.randn(50, 2), options=TrainingOptions(steps=11, clip=1.0), progress=False)
    assert "transform 0 (Failing) of Chain has a non-finite gradient in shift" in result.notes[0]


def test_going_back_restores_weights_and_optimiser_from_before_the_failure():
    torch.manual_seed(0)
    x = torch.randn(200, 2) + 3
    flow = failing_flow(when=lambda call: call > 104)
    shift = flow.transform.transforms[2].shift
    seen = []
    original = Failing.to_latent

    def watch(self, x, context=None, noise=None):
        if self.training and torch.is_grad_enabled():
            seen.append(shift.detach().clone())
        return original(self, x, context, noise)

    flow.transform.transforms[2].to_latent = watch.__get__(flow.transform.transforms[2])
    options = TrainingOptions(steps=116, batch_size=20, lr=0.01, validate_every=1000)
    fit(flow, x[:150], validation=x[150:], options=options, progress=False)
    # The copy of the 100th finite step is from before its update, and serves again after ten failures.
    assert torch.equal(seen[114], seen[99])
    assert not torch.equal(seen[104], seen[99])


def test_a_batch_that_is_not_finite_leaves_the_running_statistics_as_they_were():
    flow = Flow(StandardNormal((2,)), BatchNorm((2,))).train()
    weight = torch.nn.Parameter(torch.zeros(1))
    recovery = Recovery(flow, torch.optim.Adam([weight]), None)
    flow(torch.randn(20, 2) + 3)
    before = {name: value.clone() for name, value in flow.state_dict().items()}
    recovery.before_batch()
    flow(torch.full((20, 2), math.inf))
    assert not flow.transform.running_mean.isfinite().any()
    assert recovery.after_failure(lambda: "", None) is None
    assert all(torch.equal(value, before[name]) for name, value in flow.state_dict().items())


def test_going_back_forgets_the_moments_that_the_optimiser_has_gathered():
    flow = Flow(StandardNormal((1,)), Elementwise(Affine(TanhScale()), (1,)))
    parameter = flow.transform.weight
    optimiser = torch.optim.Adam(flow.parameters())
    recovery = Recovery(flow, optimiser, None)
    (-flow(torch.ones(4, 1)).mean()).backward()
    recovery.before_step()
    optimiser.step()
    assert optimiser.state[parameter]["exp_avg"].abs().sum() > 0
    messages = [recovery.after_failure(lambda: "here", None) for _ in range(10)]
    assert messages[:9] == [None] * 9
    assert "last good weights" in messages[9]
    assert not parameter.any()
    assert parameter not in optimiser.state or not optimiser.state[parameter]


def test_after_several_times_it_gives_up_and_keeps_the_best():
    flow = failing_flow(when=lambda call: call > 20)
    with pytest.raises(
        FitFailed, match=r"transform 2 \(Failing\).*gave up after restoring earlier weights 5 times"
    ) as caught:
        run(flow, steps=500)
    assert isinstance(caught.value, NumericsError)
    result = caught.value.result
    assert result.stopped_by == "numerics"
    assert result.best_step == 20
    x = torch.randn(200, 2, generator=torch.Generator().manual_seed(1)) + 3
    assert flow.log_prob(x[150:]).mean().item() == pytest.approx(result.best_validation, abs=1e-5)
    assert not flow.training


def test_a_failure_before_the_first_step_is_told_as_one_of_the_fit(monkeypatch):
    def failing(*arguments, **keywords):
        raise NumericsError("the equation could not be solved")

    monkeypatch.setattr(Flow, "initialise", failing)
    flow = flows.build("maf", (2,), hidden=(4,), transforms=1)
    with pytest.raises(FitFailed, match="could not be solved") as caught:
        run(flow, steps=5)
    result = caught.value.result
    assert (result.stopped_by, result.steps, result.notes) == ("numerics", 0, ["the equation could not be solved"])
    assert not flow.training


def test_scale_parameters_are_found_once_each():
    flow = flows.build("real_nvp", event_shape=(1, 4, 4), levels=4, channels=2, blocks=1, scales=1)
    found = MaximumLikelihood(flow, l2=1.0).scale_parameters()
    names = {id(p): name for name, p in flow.named_parameters()}
    assert len({id(p) for p in found}) == len(found)
    assert {names[id(p)].rsplit(".", 1)[1] for p in found} == {"magnitude", "rescale"}
    assert sum(name.endswith((".magnitude", ".rescale")) for name in names.values()) == len(found)
