"""`inference.fit` as a whole: it finds its target, it repeats, it stops as it should, and it says what is wrong."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pushforward import flows, inference
from pushforward.bases import DiagonalNormal, StandardNormal
from pushforward.errors import ContextError, OptionError, ShapeError
from pushforward.events import zero_log_term
from pushforward.flow import Flow
from pushforward.inference import FitFailed, InferenceOptions, InferenceResult
from pushforward.transforms import Identity, LULinear
from pushforward.transforms.base import Transform


def affine_flow() -> Flow:
    """Every Gaussian of two coordinates: a few operations, and the target is within reach."""
    torch.manual_seed(0)
    return Flow(DiagonalNormal((2,)), LULinear(2))


def gaussian(x: Tensor) -> Tensor:
    """Correlated, off the origin, with the integral `LOG_Z`."""
    y = torch.stack([x[:, 0] - 1, 2 * (x[:, 1] + 1) + x[:, 0]], 1)
    return -y.square().sum(1) / 2


LOG_Z = math.log(2 * math.pi) - math.log(2)


def quick(flow: Flow, log_density: Any = gaussian, context: Tensor | None = None, **options: Any) -> InferenceResult:
    extra = {k: options.pop(k) for k in ("out", "clock", "progress") if k in options}
    chosen = InferenceOptions(**{"steps": 20, "batch_size": 32, "samples": 1000, "lr": 0.02, **options})
    return inference.fit(flow, log_density, context=context, options=chosen, **{"progress": False, **extra})


def weights(flow: Flow) -> dict[str, Tensor]:
    return {k: v.clone() for k, v in flow.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return all(torch.equal(v, b[k]) for k, v in a.items())


@pytest.mark.parametrize("options", [{}, {"gradient": "reparameterised", "batch_size": 128}, {"ema": 0.9}])
def test_a_target_within_reach_is_found(options: dict[str, Any]) -> None:
    flow = affine_flow()
    result = quick(flow, steps=250, **options)
    found = result.importance
    assert result.gradient == options.get("gradient", "path")
    assert float(found.log_normaliser) == pytest.approx(LOG_Z, abs=0.01)
    assert LOG_Z - 0.02 < float(found.elbo) < LOG_Z + 4 * float(found.elbo_standard_error) + 1e-6
    assert found.effective > 0.97
    assert not flow.training
    assert result.notes == []


def test_the_last_figures_come_from_samples_of_their_own() -> None:
    flow = affine_flow()
    figures = quick(flow, seed=5, batch_size=1000).importance
    assert figures.elbo == inference.importance(flow, gaussian, samples=1000, seed=6).elbo
    assert figures.elbo != inference.importance(flow, gaussian, samples=1000, seed=5).elbo


def test_the_path_gradient_comes_closer_than_the_plain_one() -> None:
    divergences = []
    for gradient in ("path", "reparameterised"):
        found = quick(affine_flow(), steps=250, schedule="constant", gradient=gradient).importance
        divergences.append(LOG_Z - float(found.elbo))
    assert divergences[0] < 1e-4 < 10 * divergences[0] + 1e-3 < 1e-3 + divergences[1]


def test_two_runs_with_one_seed_give_the_same_weights_to_the_bit() -> None:
    outcomes = []
    for seed in (1, 1, 2):
        torch.manual_seed(0)
        flow = flows.build("nice", (2,), transforms=2, hidden=(8,))
        torch.rand(int(torch.randint(1, 100, ())))
        state = torch.get_rng_state()
        result = quick(flow, seed=seed, steps=5)
        assert torch.equal(torch.get_rng_state(), state)
        outcomes.append((result, weights(flow)))
    assert same(outcomes[0][1], outcomes[1][1])
    assert outcomes[0][0].importance == outcomes[1][0].importance
    assert not same(outcomes[0][1], outcomes[2][1])


def test_a_conditional_flow_follows_its_context() -> None:
    torch.manual_seed(0)
    flow = flows.build("maf", (2,), context_dim=1, transforms=1, hidden=(16,), standardise=False)
    context = torch.linspace(-1, 1, 9)[:, None]

    def target(x: Tensor, context: Tensor) -> Tensor:
        return -((x - 2 * context) / 0.5).square().sum(1) / 2

    result = quick(flow, target, context, steps=200, batch_size=64, samples=9000)
    assert result.importance.effective.shape == (9,)
    assert result.importance.samples == 1000
    assert result.importance.effective.min() > 0.8


def test_a_flow_with_labels_gets_them_and_passes_them_on() -> None:
    flow = flows.build("maf", (2,), classes=3, transforms=1, hidden=(4,))
    seen = []

    def target(x: Tensor, label: Tensor) -> Tensor:
        seen.append(label)
        return -(x - label[:, None]).square().sum(1)

    quick(flow, target, torch.arange(3), steps=2)
    assert all(not label.is_floating_point() for label in seen)
    assert set(seen[0].tolist()) == {0, 1, 2}


class Clock:
    """Time that passes by one second with every reading."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def test_a_run_ends_at_its_steps() -> None:
    result = quick(affine_flow(), steps=7)
    assert (result.stopped_by, result.steps) == ("steps", 7)
    assert result.history[-1]["step"] == 7


def test_a_time_limit_includes_the_figures_and_the_rate_ends_near_zero() -> None:
    result = quick(affine_flow(), steps=None, minutes=10, samples=100, clock=Clock())
    assert result.stopped_by == "minutes"
    assert 570 <= 60 * result.minutes <= 601
    rates = [entry["lr"] for entry in result.history]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.001 < 0.019 < rates[0]


def test_the_figures_never_reserve_more_than_a_fifth_of_the_time() -> None:
    result = quick(affine_flow(), steps=None, minutes=10, samples=20_000, clock=Clock())
    assert result.stopped_by == "minutes"
    assert 460 <= 60 * result.minutes <= 500


def test_without_any_limit_a_run_is_5000_steps() -> None:
    assert InferenceOptions().step_limit == 5000
    assert InferenceOptions(minutes=1).step_limit is None
    assert InferenceOptions(minutes=1, steps=3).step_limit == 3


def test_annealing_raises_the_weight_of_the_target_to_one() -> None:
    options = InferenceOptions(anneal=0.5)
    assert [options.target_weight(f) for f in (0.0, 0.25, 0.5, 1.0)] == pytest.approx([0.01, 0.505, 1.0, 1.0])
    assert InferenceOptions().target_weight(0.0) == 1.0
    plain, annealed = affine_flow(), affine_flow()
    quick(plain, steps=2)
    quick(annealed, steps=2, anneal=0.5)
    assert not same(weights(plain), weights(annealed))


def test_what_options_may_be_is_said_by_name() -> None:
    with pytest.raises(OptionError, match="inference has no option 'epochs'; it has optimiser, lr"):
        InferenceOptions.checked({"epochs": 1})
    with pytest.raises(OptionError, match=r"inference option gradient: .*'path'"):
        InferenceOptions.checked({"gradient": "score"})


def test_options_load_without_torch() -> None:
    code = "import sys, pushforward; pushforward.inference.InferenceOptions(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_ctrl_c_stops_after_the_step_and_the_figures_are_those_of_its_weights() -> None:
    calls = [0]

    def interrupting(x: Tensor) -> Tensor:
        calls[0] += 1
        if calls[0] == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return gaussian(x)

    flow = affine_flow()
    result = quick(flow, interrupting, steps=1000)
    assert (result.stopped_by, result.steps) == ("interrupted", 5)
    assert result.importance == inference.importance(flow, gaussian, samples=1000, seed=1)


def test_the_record_and_the_weights_are_written_as_the_run_goes(tmp_path: Path) -> None:
    flow = affine_flow()
    result = quick(flow, steps=100, ema=0.9, out=tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines == result.history
    assert [line["step"] for line in lines] == list(range(2, 101, 2))
    assert all(line["samples_per_second"] > 0 and line["skipped"] == line["left_out"] == 0 for line in lines)
    assert lines[-1]["elbo"] > lines[0]["elbo"]
    assert lines[-1]["lr"] < 1e-3 * lines[0]["lr"] * 10
    assert same(load_file(tmp_path / "weights.safetensors"), weights(flow))


def test_progress_goes_to_stderr_with_the_bound(capsys: pytest.CaptureFixture[str]) -> None:
    quick(affine_flow(), progress=True)
    shown = capsys.readouterr()
    assert "step 20 · ELBO " in shown.err
    assert " nats · gradient " in shown.err
    assert "samples/s" in shown.err
    assert shown.out == ""


def test_samples_outside_of_the_support_are_left_out_and_told() -> None:
    def half(x: Tensor) -> Tensor:
        return torch.where(x[:, 0] > 0, gaussian(x), -math.inf)

    result = quick(affine_flow(), half)
    assert result.importance.elbo == -math.inf
    assert result.importance.log_normaliser.isfinite()
    assert result.history[-1]["left_out"] > 0
    assert result.history[-1]["skipped"] == 0
    assert any(
        "so that the ELBO is -inf: use a flow whose last step maps onto the support" in note for note in result.notes
    )
    assert any("were excluded from the gradient" in note for note in result.notes)


def test_a_nan_here_and_there_is_left_out_but_no_figure_stands_on_it() -> None:
    result = quick(affine_flow(), lambda x: gaussian(x) + 0 * x[:, 0].sqrt())
    assert result.steps == 20
    assert result.importance.log_normaliser.isnan()
    assert any("log_density is NaN or +inf at" in note and "correct log_density there" in note for note in result.notes)


@pytest.mark.parametrize(
    ("log_density", "words"),
    [
        (lambda x: gaussian(x) * math.nan, r"log_density is not finite at any of 32 samples \(the first gives nan\)"),
        (lambda x: gaussian(x) - math.inf, "log_density is -inf at all 32 samples: the flow lies outside of its supp"),
        (lambda x: gaussian(x) + (0 * x[:, 0]).square().sqrt(), "log_density is finite, but gradients are not"),
    ],
)
def test_a_fit_that_only_meets_what_is_not_finite_fails_with_the_reason(log_density: Any, words: str) -> None:
    flow = affine_flow()
    before = weights(flow)
    with pytest.raises(FitFailed, match=words + ".*gave up after restoring earlier weights 5 times") as caught:
        quick(flow, log_density, steps=1000)
    result = caught.value.result
    assert isinstance(result, InferenceResult)
    assert (result.stopped_by, result.steps) == ("numerics", 60)
    assert result.importance.elbo.isnan()
    assert len(result.notes) == 6
    assert same(weights(flow), before)
    assert not flow.training


class _Breaking(Transform):
    """A learned shift whose samples become NaN in some calls that have a gradient."""

    def __init__(self, calls: range) -> None:
        super().__init__()
        self.data_shape = self.latent_shape = (2,)
        self.shift = nn.Parameter(torch.ones(2))
        self.calls, self.count = calls, 0

    def to_latent(self, x: Tensor, context: Any = None, noise: Any = None) -> tuple[Tensor, Tensor]:
        return x - self.shift, zero_log_term(x)

    def to_data(self, z: Tensor, context: Any = None, noise: Any = None) -> tuple[Tensor, Tensor]:
        self.count += torch.is_grad_enabled()
        broken = math.nan if self.count in self.calls else 1.0
        return z + self.shift * broken, zero_log_term(z)


def test_broken_steps_leave_no_trace_and_ten_in_a_row_go_back_at_half_the_rate() -> None:
    flow = Flow(StandardNormal((2,)), _Breaking(range(20, 30)))
    result = quick(flow, steps=60, schedule="constant")
    assert result.history[-1]["skipped"] == 10
    assert result.history[-1]["lr"] == pytest.approx(0.01)
    assert any("the flow's samples are not finite; continuing from the last good weights" in n for n in result.notes)
    assert all(v.isfinite().all() for v in flow.state_dict().values())
    assert not result.importance.elbo.isnan()


def test_what_cannot_be_fitted_is_refused_with_a_sentence() -> None:
    with pytest.raises(ShapeError, match=r"log_density must return one value a row, shape \(32,\)"):
        quick(affine_flow(), lambda x: -x.square())
    w = torch.zeros((), requires_grad=True)
    for without in (lambda x: gaussian(x.detach()), lambda x: torch.zeros(len(x)), lambda x: torch.zeros(len(x)) + w):
        with pytest.raises(OptionError, match="log_density carries no gradient to x: write it in torch operations"):
            quick(affine_flow(), without)
    with pytest.raises(OptionError, match="its samples depend on none"):
        quick(Flow(StandardNormal((2,)), Identity((2,))))
    with pytest.raises(OptionError, match="needs a flow whose log_prob is exact, this one's is of kind bound"):
        quick(flows.build("nice", (2,), levels=4))
    with pytest.raises(ContextError, match="for the target rows one was given"):
        quick(affine_flow(), context=torch.zeros(3, 2))
    with pytest.raises(ContextError, match=r"labels 0..2 expected, got 3"):
        quick(flows.build("nice", (2,), classes=3), context=torch.arange(4))


def test_weights_that_samples_do_not_reach_stay_and_are_named() -> None:
    flow = flows.build("nice", (2,), transforms=1, hidden=(4,), base="mixture")
    before = weights(flow)
    result = quick(flow, steps=3)
    assert result.notes == ["samples carry no gradient to base.logits: the fit leaves them as they are"]
    assert torch.equal(flow.state_dict()["base.logits"], before["base.logits"])
    assert not torch.equal(flow.state_dict()["base.means"], before["base.means"])
