"""`pushforward.check`: what it takes, what it says, and that it leaves the flow alone."""

import json
import math
from typing import Any

import numpy as np
import pytest
import torch

import pushforward
from pushforward.bases import StandardNormal
from pushforward.diagnostics import CheckLine, CheckReport, check
from pushforward.diagnostics.check import _round_trip_lines
from pushforward.diagnostics.integration import continuous_part, integrate
from pushforward.diagnostics.sampling import clamped_fractions
from pushforward.errors import ContextError, OptionError, ShapeError
from pushforward.flow import Flow
from pushforward.flows import build
from pushforward.transforms import Continuous, Dequantise, Logit
from pushforward.transforms.base import Chain


def _by_name(report: CheckReport) -> dict[str, CheckLine]:
    return {line.name: line for line in report.lines}


@pytest.fixture
def images() -> Flow:
    torch.manual_seed(0)
    flow = build("real_nvp", (1, 8, 8), levels=17, channels=4, blocks=1)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return flow


def test_the_front_page_offers_it() -> None:
    assert pushforward.check is check


def test_a_sound_image_flow_passes_on_integer_images(images: Flow) -> None:
    x = np.random.default_rng(0).integers(0, 17, (40, 1, 8, 8), dtype=np.uint8)
    report = check(images, x)
    assert report.passed, str(report)
    lines = _by_name(report)
    assert lines["fraction of sampled values clamped at the ends"].passed is None
    assert lines["integral of the density"].value is None
    assert "log term to data against the Jacobian" in lines
    assert "all checks passed" in str(report)


def test_without_data_it_checks_on_its_own_samples(images: Flow) -> None:
    assert check(images, rows=8).passed
    assert check(build("nice", (2,), hidden=(8,)), rows=16).passed


def test_the_flow_is_left_as_it_was(images: Flow) -> None:
    images.train()
    before = {name: value.clone() for name, value in images.state_dict().items()}
    state = torch.get_rng_state()
    check(images, rows=8)
    assert images.training
    assert images.dtype == torch.float32
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in images.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_what_a_solver_adds_to_a_bar_neither_fails_a_sound_flow_nor_hides_a_wrong_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    # Of one column a probe has no variance: all that is left of the difference is the solver's.
    sound = build("ffjord", (1,), trace="hutchinson", hidden=(8,), standardise=False)
    with torch.no_grad():
        for parameter in sound.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    assert check(sound, rows=50).passed
    loose = build("ffjord", (9,), tolerance=1e-2, hidden=(8,), standardise=False)
    right = Continuous._solve

    def off(self: Continuous, *arguments: Any) -> Any:
        x, integral, cost = right(self, *arguments)
        return x, integral + 0.5, cost

    assert check(loose, rows=20).passed
    monkeypatch.setattr(Continuous, "_solve", off)
    assert not check(loose, rows=20).passed


def test_the_same_seed_gives_the_same_report() -> None:
    flow, x = build("real_nvp", (3,), transforms=2, hidden=(8,)), torch.randn(500, 3)
    assert check(flow, x, rows=32, seed=1) == check(flow, x, rows=32, seed=1)


@pytest.mark.parametrize("classes", [0, 4])
def test_conditional_flows_need_a_context_and_pass_with_one(classes: int) -> None:
    flow = build("real_nvp", (2,), context_dim=0 if classes else 3, classes=classes, transforms=2, hidden=(8,))
    context = torch.randint(0, classes, (40,)) if classes else torch.randn(40, 3)
    assert check(flow, torch.randn(40, 2), context=context, rows=16).passed
    assert check(flow, None, context=context.numpy(), rows=16).passed
    assert check(flow, torch.randn(40, 2), context=context[:1], rows=16).passed
    for x in (None, torch.randn(40, 2)):
        with pytest.raises(ContextError):
            check(flow, x)


def test_data_of_another_shape_or_none_at_all_are_refused(images: Flow) -> None:
    with pytest.raises(ShapeError, match=r"\(1, 8, 8\) expected, got \(3, 8, 8\)"):
        check(images, torch.zeros(3, 8, 8))
    with pytest.raises(ShapeError, match="at least one row"):
        check(images, torch.zeros(0, 1, 8, 8))
    with pytest.raises(ShapeError, match="rows must be at least 1"):
        check(images, rows=0)


def test_the_report_turns_into_plain_json() -> None:
    report = CheckReport((CheckLine("a", math.inf, "<= 1", False, "detail"), CheckLine("b", None, "reported", None)))
    assert not report.passed
    parsed = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert parsed["passed"] is False
    assert parsed["verdict"]["state"] == "do not use"
    told = {"name": "a", "value": None, "bar": "<= 1", "passed": False, "detail": "detail", "effect": ""}
    assert parsed["lines"][0] == {**told, "consequence": "do not use"}
    assert parsed["lines"][1]["consequence"] is None


def test_nan_in_the_data_is_reported_and_fails() -> None:
    flow, x = build("nice", (2,), hidden=(8,)), torch.randn(20, 2)
    x[3, 0] = math.nan
    line = _by_name(check(flow, x))["fraction of rows with a NaN or infinite density"]
    assert line.value == pytest.approx(1 / 20)
    assert line.passed is False


def test_data_outside_the_support_are_counted_and_do_not_fail() -> None:
    flow = Flow(StandardNormal((2,)), Chain([Dequantise((2,), 4), Logit((2,))]))
    x = torch.tensor([[0.0, 3.0], [1.0, 2.0], [5.0, 1.0], [2.0, 2.0]])
    lines = _by_name(check(flow, x))
    assert lines["fraction of rows with density 0"].value == 0.25
    assert lines["fraction of rows with a NaN or infinite density"].passed


def test_clamped_fractions_are_those_of_the_tails() -> None:
    flow = Flow(StandardNormal((1,)), Chain([Dequantise((1,), 4), Logit((1,), 0.05)]))
    # Beyond the ends lies what is outside +-logit(0.95).
    tail = float(torch.special.ndtr(torch.tensor(-math.log(0.95 / 0.05))))
    low, high = clamped_fractions(flow, 200_000)
    assert low == pytest.approx(tail, rel=0.2)
    assert high == pytest.approx(tail, rel=0.2)
    assert clamped_fractions(build("nice", (2,))) == (0.0, 0.0)


def test_integrals_end_at_eight_dimensions() -> None:
    with pytest.raises(OptionError, match="up to 8 dimensions"):
        integrate(build("nice", (9,)))


def test_the_continuous_part_shares_its_weights() -> None:
    flow = build("real_nvp", (2,), levels=4, transforms=2, hidden=(8,))
    part = continuous_part(flow)
    assert part.kind == "exact"
    assert {id(p) for p in part.parameters()} == {id(p) for p in flow.parameters()}
    x, u = torch.tensor([[1.0, 3.0]]), torch.tensor([[0.2, 0.7]])
    noise = (u, *(None,) * (len(list(flow.transform)) - 1))  # type: ignore[arg-type]
    scored = flow.log_prob(x, None, noise=noise)
    torch.testing.assert_close(scored, part.log_prob((x + u) / 4) - 2 * math.log(4))
    assert continuous_part(part) is part


@pytest.mark.slow
def test_a_flow_on_784_values_is_checked_whole() -> None:
    flow = build("real_nvp", (1, 28, 28), levels=256, channels=16, blocks=2)
    lines = _by_name(check(flow, torch.randint(0, 256, (300, 1, 28, 28)).to(torch.uint8)))
    assert lines["log term to latent against the Jacobian"].passed
    assert lines["log term to data against the Jacobian"].passed


@pytest.mark.parametrize(("narrow", "passed"), [(5e-6, True), (5e-5, False)])
def test_a_round_trip_is_judged_by_its_typical_error_too(narrow: float, passed: bool) -> None:
    lines = _round_trip_lines("there and back", torch.zeros(5).double(), torch.full((5,), narrow), 0.0)
    assert [line.passed for line in lines] == [True, passed]
