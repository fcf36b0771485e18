"""`fit` of flows that are fitted step by step: what is kept, when it ends, and what it refuses."""

from __future__ import annotations

import itertools
import json
import math
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from effects import GREEDY
from pushforward import flows, storage
from pushforward.bases import StandardLogistic, StandardNormal
from pushforward.errors import NumericsError, OptionError
from pushforward.flow import Flow
from pushforward.training import FitFailed, FitResult, TrainingOptions, fit
from pushforward.training.greedy import is_greedy
from pushforward.transforms import GreedyTransform, LocalMaps, LULinear, MarginalGaussianization, Standardise, Whiten
from pushforward.transforms.base import Chain, Inverse, Transform


def ring(n: int = 600, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    angle = 2 * math.pi * torch.rand(n, generator=generator)
    return torch.stack([angle.cos(), angle.sin()], 1) + 0.1 * torch.randn(n, 2, generator=generator)


def small(name: str, transforms: int = 6, **options: Any) -> Flow:
    block = {"block": 8} if name == "tabak_turner" else {}
    return flows.build(name, (2,), transforms=transforms, **{**block, **options})


def quick(flow: Flow, x: Tensor | None = None, validation: Tensor | None = None, **options: Any) -> FitResult:
    extra = {name: options.pop(name) for name in ("out", "on_best", "context", "unit") if name in options}
    rows = ring() if x is None else x
    return fit(flow, rows, validation=validation, options=TrainingOptions(**options), progress=False, **extra)


def steps(flow: Flow) -> list[GreedyTransform]:
    return [step for step in flow.transform if isinstance(step, GreedyTransform)]  # type: ignore[attr-defined]


class Worse(GreedyTransform):
    """Stretches the latents more with each step after ``good`` steps that do nothing but count; counts in ``calls``."""

    def __init__(self, calls: list[int], good: int = 3, at: dict[int, Any] | None = None) -> None:
        super().__init__(2)
        self.calls, self.good, self.at = calls, good, at or {}
        self.scale = torch.nn.Buffer(torch.ones(()))

    def run(self, v: Tensor, context: Tensor | None, back: bool) -> tuple[Tensor, Tensor]:
        log_term = v.new_zeros(len(v)) + 2 * self.scale.log()
        return (v / self.scale, -log_term) if back else (v * self.scale, log_term)

    def fit_layer(self, z: Tensor, context: Tensor | None, generator: torch.Generator) -> None:
        self.calls.append(len(self.calls))
        event = self.at.get(len(self.calls))
        if event is not None:
            event()
        # Data of a fifth of unit size: each doubling helps, until they are too large.
        self.scale.fill_(2.0 if len(self.calls) <= self.good else 0.5)


def doubling(count: int = 12, **more: Any) -> tuple[Flow, list[int]]:
    calls: list[int] = []
    return Flow(StandardNormal((2,)), Chain([Worse(calls, **more) for _ in range(count)])), calls


@pytest.mark.parametrize("name", GREEDY)
def test_a_flow_of_greedy_steps_learns_a_ring_that_a_gaussian_cannot(name: str) -> None:
    flow, x = small(name, 12), ring(2000)
    assert is_greedy(flow)
    result = quick(flow, x[:1600], x[1600:])
    gaussian = torch.distributions.MultivariateNormal(x[:1600].mean(0), x[:1600].T.cov())
    assert result.best_validation > gaussian.log_prob(x[1600:]).mean() + 0.3
    assert flow.likelihood(x[1600:]).value.double().mean().item() == pytest.approx(result.best_validation, abs=1e-5)
    assert not flow.training
    history = result.history
    assert [entry["step"] for entry in history] == list(range(result.steps + 1))
    assert history[0]["train"] is None
    assert history[-1]["train"] > history[1]["train"]
    assert history[-1]["rows_per_second"] > 0


@pytest.mark.parametrize("name", GREEDY)
def test_before_it_is_fitted_a_greedy_step_is_exactly_the_identity(name: str) -> None:
    x = 3 * torch.randn(40, 2)
    for step in steps(small(name)):
        # Where work is left out because nothing is fitted, and where it is not, as in a compiled graph.
        for value, log_term in (step.to_latent(x), step.to_data(x), step.run(x, None, False), step.run(x, None, True)):
            assert torch.equal(value, x)
            assert torch.equal(log_term, torch.zeros(40))


@pytest.mark.parametrize("maps", ["radial", "marginal", "both"])
def test_no_step_of_tabak_and_turner_lowers_the_likelihood_of_the_training_rows(maps: str) -> None:
    result = quick(small("tabak_turner", 8, maps=maps), ring(500), ring(100, 1))
    values = [entry["train"] for entry in result.history[1:]]
    assert len(values) >= 6
    assert all(after >= before - 1e-5 for before, after in itertools.pairwise(values))
    assert values[-1] > values[0] + 0.1


def test_patience_ends_a_run_and_the_steps_after_the_best_are_the_identity() -> None:
    flow, calls = doubling()
    result = quick(flow, 0.1 * torch.randn(200, 2), patience=4)
    assert (result.stopped_by, result.best_step, result.steps) == ("patience", 3, 7)
    assert len(calls) == 7
    assert [bool(step.fitted) for step in steps(flow)] == [True] * 3 + [False] * 9
    assert [float(step.scale) for step in steps(flow)] == [2.0] * 3 + [1.0] * 9  # type: ignore[arg-type]
    assert [entry["improved"] for entry in result.history] == [True] * 4 + [False] * 4


def test_a_second_fit_goes_on_after_the_steps_that_are_fitted() -> None:
    flow, calls = doubling(4, good=4)
    x = 0.05 * torch.randn(100, 2)
    quick(flow, x, steps=1)
    before = float(flow.likelihood(x).value.mean())
    result = quick(flow, x)
    assert (result.steps, result.stopped_by, len(calls)) == (3, "steps", 4)
    assert flow.likelihood(x).value.mean() > before
    result = quick(flow, x)
    assert (result.steps, result.stopped_by, len(calls)) == (0, "steps", 4)
    assert "every step of the flow is already fitted" in result.notes[0]


@pytest.mark.parametrize("name", GREEDY)
def test_one_seed_gives_one_flow_to_the_bit(name: str) -> None:
    found = []
    for seed in (1, 1, 2):
        flow = small(name, 2)
        torch.rand(7)
        before = torch.get_rng_state()
        quick(flow, seed=seed)
        assert torch.equal(torch.get_rng_state(), before)
        found.append({key: value.clone() for key, value in flow.state_dict().items()})
    assert all(torch.equal(value, found[1][key]) for key, value in found[0].items())
    assert not all(torch.equal(value, found[2][key]) for key, value in found[0].items())


def test_limits_end_a_run_after_so_many_steps() -> None:
    for options, wanted in (({"steps": 2}, ("steps", 2)), ({"epochs": 1.5}, ("epochs", 2)), ({}, ("steps", 3))):
        flow, _ = doubling(3)
        result = quick(flow, 0.1 * torch.randn(100, 2), **options)
        assert (result.stopped_by, result.steps) == wanted
    flow, _ = doubling(3)
    assert quick(flow, 0.1 * torch.randn(100, 2), minutes=1e-9).stopped_by == "minutes"


def test_ctrl_c_keeps_the_best_steps_so_far() -> None:
    flow, calls = doubling(good=2, at={4: lambda: os.kill(os.getpid(), signal.SIGINT)})
    result = quick(flow, 0.1 * torch.randn(100, 2))
    assert (result.stopped_by, result.steps, result.best_step) == ("interrupted", 4, 2)
    assert len(calls) == 4
    assert [bool(step.fitted) for step in steps(flow)] == [True] * 2 + [False] * 10


def test_a_step_that_cannot_be_fitted_ends_the_run_with_the_best_ones() -> None:
    def fail() -> None:
        raise NumericsError("no axes were found")

    flow, _ = doubling(at={3: fail})
    with pytest.raises(FitFailed, match="no axes were found") as caught:
        quick(flow, 0.1 * torch.randn(100, 2))
    assert caught.value.result.best_step == 2
    assert sum(bool(step.fitted) for step in steps(flow)) == 2


def test_the_best_state_and_the_rounds_are_written_as_they_come(tmp_path: Path) -> None:
    flow = small("rbig", 3)
    result = quick(flow, out=tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines == result.history
    best = load_file(tmp_path / "best.safetensors")
    assert all(torch.equal(value, best[name]) for name, value in flow.state_dict().items())
    seen: list[int] = []
    quick(small("rbig", 3), on_best=lambda flow, step, value: seen.append(step))
    assert seen == [entry["step"] for entry in result.history if entry["improved"] and entry["step"]]


def test_integers_are_dequantised_before_the_steps() -> None:
    x = torch.randint(0, 3, (400, 2)).cumsum(1)
    flow = small("rbig", 4, levels=5)
    result = quick(flow, x[:300], x[300:])
    assert flow.kind == "bound"
    assert result.history[0]["unit"] == "bits/dim"
    value = flow.likelihood(x[300:].float()).value.mean().item()
    assert value == pytest.approx(result.best_validation, abs=0.1)


def test_rounds_name_the_dequantisation_of_a_bound() -> None:
    x = torch.randint(0, 4, (200, 2), generator=torch.Generator().manual_seed(0)).float()
    result = quick(small("rbig", 2, levels=4), x)
    assert {entry["dequantisation"] for entry in result.history} == {"uniform"}


def test_a_column_that_the_context_determines_is_not_blown_up() -> None:
    context = torch.randn(500, 1, generator=torch.Generator().manual_seed(0))
    x = torch.cat([3 * context + 0.7, torch.randn(500, 1, generator=torch.Generator().manual_seed(1))], 1)
    chain = Chain([Standardise((2,)), Whiten(2, 1)])
    chain.initialise(x, context)
    assert chain.to_latent(x, context)[1].abs().max() < 3


def test_labels_are_contexts_of_tabak_and_turner() -> None:
    labels = torch.arange(600) % 3
    x = 0.5 * torch.randn(600, 2, generator=torch.Generator().manual_seed(0)) + 3 * labels[:, None]
    torch.manual_seed(0)
    flow = flows.build("tabak_turner", (2,), classes=3, transforms=2, block=10)
    quick(flow, x, context=labels)
    own, other = (flow.likelihood(x, which).value.mean() for which in (labels, (labels + 1) % 3))
    assert own > other + 3
    # 2 log(0.5) less the entropy of a normal.
    assert own > -math.log(2 * math.pi * math.e) - 2 * math.log(0.5) - 0.2


def test_a_shape_that_depends_on_the_context_is_learned() -> None:
    generator = torch.Generator().manual_seed(0)
    context = torch.rand(1500, 1, generator=generator) * 2 - 1
    side = torch.where(torch.rand(1500, 1, generator=generator) < 0.5, -1.0, 1.0)
    # One bump where the context is negative, two where it is positive.
    x = 0.3 * torch.randn(1500, 1, generator=generator) + torch.where(context > 0, 2 * side, 0.0)
    flow = flows.build("tabak_turner", (1,), context_dim=1, transforms=6, block=12)
    quick(flow, x, context=context)
    points = torch.tensor([[0.0], [2.0]])
    one, two = (flow.likelihood(points, torch.full((1, 1), c)).value for c in (-0.6, 0.6))
    assert one[0] > one[1] + 1
    assert two[1] > two[0] + 1


def test_options_of_gradients_are_noted_where_they_promise_what_is_not_done() -> None:
    result = quick(small("rbig", 1), compile=True)
    assert "compile and autocast are ignored" in result.notes[0]


def _refusal(steps: list[Transform], base: Any = None) -> str:
    with pytest.raises(OptionError) as caught:
        quick(Flow(base or StandardNormal((2,)), Chain(steps)))
    return str(caught.value)


def test_flows_that_are_only_in_part_greedy_are_refused() -> None:
    step = MarginalGaussianization(2)
    assert "transforms.0.packed; freeze it" in _refusal([LULinear(2, bias=False), step])
    assert "must be the last steps" in _refusal([step, Standardise((2,))])
    assert "directly in it" in _refusal([Standardise((2,)), Inverse(step)])
    assert "flow's base is a StandardLogistic" in _refusal([step], StandardLogistic((2,)))


def test_what_cannot_be_is_refused() -> None:
    for name in ("rbig", "sliced_iterative"):
        with pytest.raises(OptionError, match=f"{name} cannot be conditional: .* use tabak_turner"):
            flows.build(name, (2,), context_dim=1)
        with pytest.raises(OptionError, match=r"option damping: .* \(got 1.0\)"):
            flows.build(name, (2,), damping=1.0)
    with pytest.raises(OptionError, match="rotation 'left' is not known"):
        MarginalGaussianization(2, rotation="left")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="shape 'square' of local maps is not known"):
        LocalMaps(2, shape="square")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="option rotation='ica' has no use here"):
        flows.build("rbig", (1,), rotation="ica")


@pytest.mark.parametrize("rows", [1, 2, 12])
@pytest.mark.filterwarnings("ignore::pushforward.errors.DegenerateDataWarning")
@pytest.mark.parametrize("name", GREEDY)
def test_few_rows_and_constant_columns_do_no_harm(name: str, rows: int) -> None:
    x = torch.randn(rows, 2, generator=torch.Generator().manual_seed(0))
    x[:, 1] = 3.0
    flow = small(name, 2)
    quick(flow, x, x)
    assert flow.likelihood(x).value.isfinite().all()
    assert flow.sample(5).isfinite().all()


@pytest.mark.parametrize("name", GREEDY)
def test_a_fitted_flow_is_inverted_and_loaded_to_the_bit(name: str, tmp_path: Path) -> None:
    flow, x = small(name, 4), ring()
    quick(flow, x)
    torch.testing.assert_close(flow.decode(flow.encode(x)), x, atol=1e-4, rtol=1e-4)
    storage.save(flow, tmp_path / "m")
    assert torch.equal(storage.load(tmp_path / "m").likelihood(x).value, flow.likelihood(x).value)


_EFFECTS: dict[str, list[dict[str, Any]]] = {
    "rbig": [{"rotation": "pca"}, {"rotation": "random"}, {"rotation": "ica"}, {"bins": 5}, {"damping": 0.1}],
    "sliced_iterative": [{"directions": 1}, {"bins": 5}, {"damping": 0.1}],
    "tabak_turner": [{"block": 5}, {"maps": "marginal"}, {"maps": "both"}],
}


@pytest.mark.filterwarnings("ignore::pushforward.errors.DegenerateDataWarning")
@pytest.mark.parametrize("name", GREEDY)
def test_every_option_of_a_greedy_flow_has_an_effect(name: str) -> None:
    general: list[dict[str, Any]] = [
        {"transforms": 3},
        {"whiten": False},
        {"standardise": False},
        {"levels": 5},
        {"bounds": {0: (-1, 9)}},
    ]
    x = torch.randint(0, 5, (200, 3), generator=torch.Generator().manual_seed(0)).float()
    x[:, 1] = (x[:, 0] + x[:, 1]).clamp(max=4)

    def scores(**options: Any) -> Tensor:
        block = {"block": 4} if name == "tabak_turner" else {}
        flow = flows.build(name, (3,), **{"transforms": 2, **block, **options})
        quick(flow, x)
        return flow.likelihood(x).value

    plain = scores()
    assert torch.equal(plain, scores())
    changes = [*general, *_EFFECTS[name]]
    default = flows.describe(name).recipe((3,)).options.model_fields
    for change in changes:
        ((option, value),) = change.items()
        # Whitened rows as simple as these show no principal axes.
        fixed = {"whiten": False} if option == "rotation" else {}
        compared = scores(**fixed) if fixed else plain
        assert default[option].default == value or not torch.equal(scores(**change, **fixed), compared), change
    assert not torch.equal(scores(levels=5), scores(levels=5, alpha=0.1))
    with pytest.raises(OptionError, match="fitted without"):
        scores(levels=5, dequantisation="variational")
    assert {option for change in changes for option in change} | {"alpha", "dequantisation"} == set(default)
