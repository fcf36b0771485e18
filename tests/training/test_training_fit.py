"""`fit` as a whole: it learns, it repeats, it stops as it should, and it keeps the best weights."""

from __future__ import annotations

import functools
import json
import math
import os
import signal
import threading

import numpy as np
import pytest
import torch
from failing_transform import failing_flow
from safetensors.torch import load_file

from pushforward import flows
from pushforward.bases import StandardNormal
from pushforward.errors import DataError, OptionError
from pushforward.flow import Flow
from pushforward.maps.affine import Affine, Scale, SoftClampScale, TanhScale
from pushforward.nets import ResidualConvNet
from pushforward.training import FitResult, TrainingOptions, fit, stepper
from pushforward.training.options import TrainingKeywords
from pushforward.transforms import (
    BatchNorm,
    Checkerboard,
    Coupling,
    Dequantise,
    Elementwise,
    Identity,
    Logit,
    Standardise,
)
from pushforward.transforms.base import Chain


def ring(n=600, seed=0):
    generator = torch.Generator().manual_seed(seed)
    angle = 2 * math.pi * torch.rand(n, generator=generator)
    return torch.stack([angle.cos(), angle.sin()], 1) + 0.1 * torch.randn(n, 2, generator=generator)


def vector_flow(**options):
    torch.manual_seed(0)
    return flows.build("real_nvp", event_shape=(2,), **{"transforms": 4, "hidden": (16,), **options})


def image_flow(**options):
    torch.manual_seed(0)
    chosen = {"levels": 4, "channels": 4, "blocks": 1, **options}
    return flows.build("real_nvp", event_shape=(1, 4, 4), **chosen)


def one_image_coupling():
    """The least that compiles noise, convolutions and both kinds of batch normalisation: compiling is slow."""
    torch.manual_seed(0)
    shape, partition = (1, 4, 4), Checkerboard((1, 4, 4))
    net = ResidualConvNet(1, 2, channels=2, blocks=0, mask=partition.mask)
    coupling = Coupling(partition, Affine(TanhScale()), net, BatchNorm(partition.changed_shape))
    return Flow(StandardNormal(shape), Chain([Dequantise(shape, 4), Logit(shape, 0.05), coupling]))


def images(n=200):
    """Bright on the left, dark on the right, with noise."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 2, (n, 1, 4, 4), generator=generator)
    return (noise + torch.tensor([2, 2, 0, 0])).to(torch.uint8)


def quick(flow, x=None, validation=None, **options) -> FitResult:
    others = ("out", "on_best", "unit", "context", "validation_context", "clock")
    extra = {k: options.pop(k) for k in others if k in options}
    chosen = TrainingOptions(**{"steps": 20, "batch_size": 32, **options})
    return fit(flow, ring() if x is None else x, validation=validation, options=chosen, progress=False, **extra)


def weights(flow):
    return {k: v.clone() for k, v in flow.state_dict().items()}


def same(a, b):
    return all(torch.equal(v, b[k]) for k, v in a.items())


@pytest.mark.parametrize("optimiser", ["adam", "adamw", "adamax"])
def test_a_flow_learns_a_ring_that_a_gaussian_cannot(optimiser):
    flow, x = vector_flow(), ring(2000)
    result = quick(flow, x[:1600], x[1600:], steps=250, batch_size=128, optimiser=optimiser, lr=1e-2)
    gaussian = torch.distributions.MultivariateNormal(x[:1600].mean(0), x[:1600].T.cov())
    assert result.best_validation > gaussian.log_prob(x[1600:]).mean() + 0.3


@pytest.mark.parametrize(
    "make",
    [
        lambda: (vector_flow(dropout=0.2), ring(), {"ema": 0.9}),
        lambda: (image_flow(), images(), {"flips": True, "ema": 0.9, "optimiser": "adamax"}),
    ],
    ids=["vectors-dropout", "images-flips"],
)
def test_two_runs_with_one_seed_give_the_same_weights_to_the_bit(make):
    outcomes = []
    for seed in (1, 1, 2):
        flow, x, options = make()
        torch.rand(int(torch.randint(1, 100, ())))
        outcomes.append((quick(flow, x, seed=seed, **options), weights(flow)))
    assert same(outcomes[0][1], outcomes[1][1])
    assert [e["validation"] for e in outcomes[0][0].history] == [e["validation"] for e in outcomes[1][0].history]
    assert not same(outcomes[0][1], outcomes[2][1])


def test_the_global_random_state_is_left_as_it_was():
    flow = vector_flow(dropout=0.5)
    before = torch.get_rng_state()
    quick(flow)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_best_weights_are_kept_and_not_the_last():
    flow, x = vector_flow(hidden=(64, 64)), ring(40)
    result = quick(flow, x[:20], x[20:], steps=300, lr=1e-2, schedule="constant", validate_every=10)
    values = [e["validation"] for e in result.history]
    assert result.best_validation == max(values) > values[-1]
    assert result.best_step == result.history[int(np.argmax(values))]["step"]
    assert flow.likelihood(x[20:]).value.double().mean().item() == pytest.approx(result.best_validation, abs=1e-6)
    assert not flow.training


def test_a_run_whose_best_weights_are_the_untrained_ones_says_so():
    torch.manual_seed(0)
    result = quick(flows.build("nice", 2, transforms=2, hidden=(8,)), lr=30.0, schedule="constant", validate_every=5)
    assert result.best_step == 0
    assert any("the best weights are the untrained ones: after none of 20 steps" in note for note in result.notes)
    torch.manual_seed(0)
    good = quick(flows.build("nice", 2, transforms=2, hidden=(8,)), lr=1e-3)
    assert good.best_step > 0
    assert good.notes == []


def test_options_are_given_as_keywords_or_as_an_object_and_not_as_both():
    first, second = (flows.build("nice", 2, transforms=1, hidden=(4,)) for _ in range(2))
    second.load_state_dict(first.state_dict())
    fit(first, ring(), steps=3, lr=1e-2, batch_size=16, progress=False)
    fit(second, ring(), options=TrainingOptions(steps=3, lr=1e-2, batch_size=16), progress=False)
    assert same(weights(first), weights(second))
    with pytest.raises(OptionError, match="steps, lr and options were both given"):
        fit(first, ring(), options=TrainingOptions(), steps=3, lr=1e-2, progress=False)
    with pytest.raises(OptionError, match=r"no option .ls."):
        fit(first, ring(), ls=1e-2, progress=False)
    assert set(TrainingKeywords.__annotations__) == set(TrainingOptions.model_fields)


def test_patience_ends_a_run_that_no_longer_improves():
    x = ring(40)
    result = quick(vector_flow(hidden=(64, 64)), x[:20], x[20:], steps=5000, lr=1e-2, validate_every=5, patience=3)
    assert result.stopped_by == "patience"
    assert not any(e["improved"] for e in result.history[-3:])
    assert result.history[-4]["step"] == result.best_step


@pytest.mark.parametrize(
    ("limit", "reason", "steps"), [({"steps": 7}, "steps", 7), ({"steps": None, "epochs": 0.5}, "epochs", 9)]
)
def test_a_run_ends_at_its_limit(limit, reason, steps):
    result = quick(vector_flow(), **limit)
    assert (result.stopped_by, result.steps) == (reason, steps)


class Clock:
    """Time that passes by one second with every reading."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 1.0
        return self.now


def test_a_time_limit_includes_validation_and_the_rate_ends_near_zero():
    result = quick(vector_flow(), steps=None, minutes=10, lr=1.0e-3, clock=Clock())
    assert result.stopped_by == "minutes"
    # A round of validation takes a few readings of this clock; one more is taken after the end.
    assert 590 <= 60 * result.minutes <= 601
    rates = [e["lr"] for e in result.history[1:]]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > 0.9e-3
    assert rates[-1] < 0.02e-3
    assert result.history[-1]["step"] == result.steps


def test_the_rate_follows_warm_up_and_cosine(monkeypatch):
    seen = []
    original = stepper.make_optimiser

    def watched(parameters, options):
        optimiser = original(parameters, options)
        optimiser.register_step_pre_hook(lambda o, *_: seen.append(o.param_groups[0]["lr"]))
        return optimiser

    monkeypatch.setattr(stepper, "make_optimiser", watched)
    quick(vector_flow(), steps=10, warmup_steps=4, lr=1.0)
    cosine = [0.5 * (1 + math.cos(math.pi * t / 10)) for t in range(10)]
    assert seen == pytest.approx([c * min(1, (t + 1) / 4) for t, c in enumerate(cosine)])


def test_gradients_are_clipped_and_their_norm_recorded_unclipped(monkeypatch):
    norms = []
    original = stepper.make_optimiser

    def watched(parameters, options):
        optimiser = original(parameters, options)
        optimiser.register_step_pre_hook(
            lambda o, *_: norms.append(torch.nn.utils.get_total_norm([p.grad for p in parameters]).item())
        )
        return optimiser

    monkeypatch.setattr(stepper, "make_optimiser", watched)
    clipped = quick(vector_flow(), clip=1e-3, steps=5)
    assert norms == pytest.approx([1e-3] * 5, rel=1e-2)
    free = quick(vector_flow(), clip=None, steps=5)
    assert min(norms[5:]) > 1e-2
    assert clipped.history[-1]["gradient_norm"] > 1e-2
    assert free.history[-1]["gradient_norm"] == pytest.approx(sum(norms[5:]) / 5, rel=1e-5)


def test_scale_parameters_shrink_under_the_penalty():
    def final(penalty):
        flow = image_flow(penalty=penalty)
        quick(flow, images(), steps=30, lr=1e-2, validate_every=30)
        return {n: p.detach() for n, p in flow.named_parameters()}

    strong, none = final(1e3), final(0.0)
    rescale = [n for n in strong if n.endswith("rescale")]
    assert all(strong[n].abs() < none[n].abs() for n in rescale)


def test_weight_decay_pulls_every_weight():
    decayed, free = vector_flow(), vector_flow()
    quick(decayed, optimiser="adamw", weight_decay=1.0, lr=1e-2, steps=30)
    quick(free, optimiser="adamw", lr=1e-2, steps=30)
    norm = torch.nn.utils.parameters_to_vector
    assert norm(decayed.parameters()).norm() < norm(free.parameters()).norm()


def test_integer_flows_count_in_bits_per_dim_and_say_bound(tmp_path):
    flow = image_flow()
    result = quick(flow, images(), out=tmp_path)
    last = result.history[-1]
    assert (last["unit"], last["kind"]) == ("bits/dim", "bound")
    assert last["validation"] == pytest.approx(-last["validation_nats"] / (16 * math.log(2)))
    assert last["best"] == pytest.approx(-result.best_validation / (16 * math.log(2)))
    assert quick(vector_flow()).history[-1]["unit"] == "nats"
    assert quick(vector_flow(), unit="bits/dim").history[-1]["unit"] == "bits/dim"


def test_metrics_are_written_one_object_a_round_as_the_history_has_them(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("left over\n")
    result = quick(vector_flow(), out=tmp_path, validate_every=5)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines == result.history
    assert [e["step"] for e in lines] == [0, 5, 10, 15, 20]
    assert lines[0]["train"] is None
    assert lines[-1]["train_loss"] == -lines[-1]["train"]
    assert lines[-1]["validation_nats"] == lines[-1]["validation"]
    for key in ("train", "validation", "standard_error", "lr", "gradient_norm", "rows_per_second", "seconds"):
        assert math.isfinite(lines[-1][key])


def test_a_large_validation_set_is_scored_in_part_and_the_entry_says_so():
    x = ring(500)
    last = quick(vector_flow(), x[:200], x[200:], validation_rows=50).history[-1]
    assert (last["validation_rows"], last["validation_total"]) == (50, 300)
    by_default = quick(vector_flow(), x[:200], ring(12_000), steps=1).history[-1]
    assert by_default["validation_rows"] == 10_000


def test_the_best_weights_are_on_disk_when_they_are_found(tmp_path):
    flow = vector_flow()
    quick(flow, out=tmp_path)
    stored = load_file(tmp_path / "best.safetensors")
    assert same(weights(flow), stored)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best.safetensors", "metrics.jsonl"]


def test_on_best_sees_the_best_weights_also_when_they_are_averages(tmp_path):
    flow, seen = image_flow(), []
    result = quick(
        flow, images(), ema=0.9, lr=1e-2, out=tmp_path, on_best=lambda f, *rest: seen.append((weights(f), *rest))
    )
    assert same(seen[-1][0], weights(flow))
    assert seen[-1][1:] == (result.best_step, result.best_validation)
    assert not (tmp_path / "best.safetensors").exists()


def test_the_weights_that_are_kept_are_the_average_of_those_after_each_step(monkeypatch):
    seen = []
    original = stepper.make_optimiser

    def watched(parameters, options):
        optimiser = original(parameters, options)
        seen.append([p.detach().clone() for p in parameters])
        optimiser.register_step_post_hook(lambda *_: seen.append([p.detach().clone() for p in parameters]))
        return optimiser

    monkeypatch.setattr(stepper, "make_optimiser", watched)
    flow = vector_flow()
    result = quick(flow, steps=5, validate_every=5, lr=1e-2, ema=0.999)
    assert result.best_step == 5
    expected = seen[0]
    for t, step in enumerate(seen[1:], start=1):
        decay = t / (t + 9)
        expected = [decay * e + (1 - decay) * p for e, p in zip(expected, step, strict=True)]
    for p, e in zip(flow.parameters(), expected, strict=True):
        torch.testing.assert_close(p.detach(), e)


def test_statistics_of_averaged_weights_are_recomputed_over_the_training_rows():
    flow, x = failing_flow(), ring(64) + 5
    quick(flow, x, x, steps=3, validate_every=3, ema=0.5, lr=1e-2, batch_size=64)
    norm = flow.transform.transforms[1]
    # One batch holds all rows; training alone would have counted three.
    torch.testing.assert_close(norm.running_mean, x.mean(0))
    torch.testing.assert_close(norm.running_var, x.var(0, correction=0))
    assert norm.num_batches_tracked == 1
    assert norm.momentum == 0.1


def test_without_validation_rows_a_tenth_is_held_out():
    assert quick(vector_flow(), ring(205)).history[-1]["validation_total"] == 20
    with pytest.raises(DataError, match="at least 10 training rows are needed, got 9"):
        quick(vector_flow(), ring(9))
    with pytest.raises(OptionError, match="validation_context was given without"):
        quick(vector_flow(), validation_context=torch.zeros(3, 1))


def test_standardisation_takes_all_training_rows():
    flow, x = vector_flow(), ring(777) * torch.tensor([3.0, 50.0]) + 7
    quick(flow, x, x[:20], steps=1)
    standardise = next(t for t in flow.transform if isinstance(t, Standardise))
    torch.testing.assert_close(standardise.mean, x.mean(0))
    torch.testing.assert_close(standardise.std, x.std(0, correction=0))


@pytest.mark.parametrize("context", ["labels", "vectors"])
def test_a_conditional_flow_learns_what_its_context_says(context):
    torch.manual_seed(0)
    labels = torch.arange(600) % 2
    x = torch.randn(600, 2, generator=torch.Generator().manual_seed(0)) * 0.1 + 4.0 * labels[:, None]
    options = {"classes": 2} if context == "labels" else {"context_dim": 1}
    given = labels if context == "labels" else labels[:, None].double().numpy()
    flow = flows.build("real_nvp", event_shape=(2,), transforms=4, hidden=(16,), **options)
    quick(flow, x, context=given, steps=200, lr=1e-2)
    right = flow.log_prob(x, torch.as_tensor(given)).mean()
    wrong = flow.log_prob(x, torch.as_tensor(given).flip(0)).mean()
    assert right > wrong + 5


def test_double_precision_flows_train_in_double_precision():
    flow = vector_flow().double()
    result = quick(flow, ring().numpy())
    assert all(v.dtype == torch.float64 for v in flow.state_dict().values() if v.is_floating_point())
    assert math.isfinite(result.best_validation)


@pytest.mark.parametrize("make", [lambda: (vector_flow(), ring()), lambda: (image_flow(), images())])
def test_bfloat16_training_keeps_float32_weights_and_comes_close(make):
    values = []
    for autocast in (True, False):
        flow, x = make()
        values.append(quick(flow, x, steps=20, validate_every=20, lr=5e-3, autocast=autocast).best_validation)
        assert all(p.dtype == torch.float32 for p in flow.parameters())
    assert values[0] == pytest.approx(values[1], rel=0.05)
    assert values[0] != values[1]


def test_compiled_training_equals_eager_training(monkeypatch):
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager", fullgraph=True))
    compiled, eager = vector_flow(transforms=2), vector_flow(transforms=2)
    a, b = quick(compiled, compile=True), quick(eager)
    assert a.best_validation == pytest.approx(b.best_validation, abs=1e-4)
    torch._dynamo.reset()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # torch loading its own compiler
@pytest.mark.parametrize("make", [lambda: (vector_flow(), ring()), lambda: (one_image_coupling(), images())])
def test_compiled_training_with_the_default_backend_equals_eager_training(make):
    (compiled, x), (eager, _) = make(), make()
    a, b = quick(compiled, x, compile=True), quick(eager, x)
    assert a.best_validation == pytest.approx(b.best_validation, abs=1e-3)
    torch._dynamo.reset()


def test_a_flow_that_cannot_be_compiled_is_trained_without_and_the_reason_is_told():
    plain, flow = vector_flow(), vector_flow()
    quick(plain)
    flow.transform.eager = "its solver takes as many steps as it needs"
    result = quick(flow, compile=True)
    assert result.notes == [
        "training continues without compile, which does not apply here: its solver takes as many steps as it needs"
    ]
    assert same(weights(plain), weights(flow))


def test_a_compiler_that_fails_is_reported_with_what_to_do(monkeypatch):
    def broken(graph, inputs):
        raise ValueError("no compiler here")

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=broken))
    with pytest.raises(OptionError, match=r"torch.compile failed \(.*no compiler here.*\); train without compile"):
        quick(vector_flow(transforms=1), compile=True)
    torch._dynamo.reset()


def test_a_flow_without_parameters_is_refused():
    with pytest.raises(OptionError, match="no parameters to train"):
        quick(Flow(StandardNormal((2,)), Identity((2,))))


def interrupting(after):
    """A flow that sends its own process SIGINT in the given training step."""

    def when(call):
        if call == after:
            os.kill(os.getpid(), signal.SIGINT)
        return False

    return failing_flow(when=when)


def test_ctrl_c_stops_after_the_step_and_keeps_the_best():
    previous = signal.getsignal(signal.SIGINT)
    flow = interrupting(after=15)
    result = quick(flow, steps=10_000, validate_every=10, lr=1e-2)
    assert (result.stopped_by, result.steps) == ("interrupted", 15)
    assert result.best_step == 15
    assert [e["step"] for e in result.history] == [0, 10, 15]
    assert not flow.training
    assert signal.getsignal(signal.SIGINT) is previous


def test_a_second_ctrl_c_aborts_with_the_best_weights_in_the_flow():
    previous = signal.getsignal(signal.SIGINT)
    kept = {}
    flow = interrupting(after=15)

    def on_best(flow, step, value):
        kept.update(weights(flow))
        # The second one comes while the last weights are validated, which are the best so far.
        if step == 15:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        quick(flow, steps=10_000, validate_every=5, lr=1e-2, on_best=on_best)
    assert signal.getsignal(signal.SIGINT) is previous
    assert same(weights(flow), kept)
    assert not flow.training


def test_fit_works_off_the_main_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(quick(vector_flow())))
    thread.start()
    thread.join()
    assert found[0].stopped_by == "steps"


def test_validation_rows_outside_the_support_are_spoken_of_and_training_goes_on():
    flow = Flow(torch.distributions.Exponential(torch.ones(2)), Chain([Elementwise(Scale(SoftClampScale()), (2,))]))
    x = torch.rand(100, 2)
    result = quick(flow, x, -x)
    assert result.best_step == 20
    assert "no validation round gave a finite log-likelihood" in result.notes[0]
