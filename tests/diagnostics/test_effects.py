"""The verdict on numerics follows the effect of an error, not its size in float32."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from pushforward.bases import StandardNormal
from pushforward.diagnostics import CheckLine, CheckReport, check
from pushforward.diagnostics.check import _round_trip_lines
from pushforward.diagnostics.effects import DEVIATIONS, consequence, deviations
from pushforward.evaluation.verdict import State
from pushforward.events import zero_log_term
from pushforward.flow import Flow
from pushforward.noise import NoiseValue
from pushforward.transforms.base import Transform


@pytest.mark.parametrize(
    ("size", "state"), [(0.0, State.GOOD), (0.02, State.CARE), (1.0, State.REFUSE), (math.nan, State.REFUSE)]
)
def test_a_consequence_grows_with_the_error(size: float, state: State) -> None:
    assert consequence(size, DEVIATIONS) is state


def test_errors_of_data_are_in_units_of_their_column() -> None:
    x = torch.randn(1000, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([1e-4, 1e4])
    errors = deviations(x + torch.tensor([1e-6, 0.0]), x)
    assert 0.002 < float(errors.median()) < 0.011
    far = torch.cat([x, torch.tensor([[0.0, 1e9]])])
    assert float(deviations(far + torch.tensor([0.0, 100.0]), far)[-1]) < 1e-6
    assert deviations(torch.tensor([[math.nan]]), torch.tensor([[1.0]])).isinf().all()


@pytest.mark.parametrize(
    ("error", "state"), [(5e-6, State.GOOD), (5e-4, State.GOOD), (5e-3, State.CARE), (0.5, State.REFUSE)]
)
def test_a_round_trip_condemns_a_flow_by_its_effect(error: float, state: State) -> None:
    lines = _round_trip_lines("data -> latent -> data", torch.zeros(5).double(), torch.full((5,), error), 0.0)
    report = CheckReport(tuple(lines))
    assert report.passed is (error < 1e-5)
    assert report.verdict.state is state
    assert ("FAILED" in str(report)) is (state is State.REFUSE)
    assert report.to_json()["verdict"]["state"] == state


@pytest.mark.parametrize(("wide", "state"), [(1e-10, State.CARE), (0.0, State.REFUSE)])
def test_rounding_that_a_steep_map_amplifies_asks_for_care_only(wide: float, state: State) -> None:
    errors = torch.full((5,), wide).double(), torch.full((5,), 0.3)
    assert CheckReport(tuple(_round_trip_lines("latent -> data -> latent", *errors, 0.0))).verdict.state is state
    of_data = _round_trip_lines("data -> latent -> data", *errors, 0.0, errors)
    assert CheckReport(tuple(of_data)).verdict.state is State.REFUSE


def test_a_failed_line_without_a_known_effect_condemns_the_flow() -> None:
    report = CheckReport((CheckLine("log term", None, "computable", False, "it is singular"),))
    assert str(report.verdict) == "numerics: do not use (log term: it is singular)"
    assert str(report).endswith(str(report.verdict))


class Rough(Transform):
    """``z = x / 1000``, whose inverse rounds in float32 to ``step``."""

    def __init__(self, step: float) -> None:
        super().__init__()
        self.data_shape = self.latent_shape = (2,)
        self.step = step

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        return x / 1000, zero_log_term(x) - 2 * math.log(1000)

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        x = 1000 * z
        rounded = x if x.dtype == torch.float64 else (x / self.step).round() * self.step
        return rounded, zero_log_term(z) + 2 * math.log(1000)


@pytest.mark.parametrize(("step", "state"), [(1.0, State.GOOD), (20.0, State.CARE), (1000.0, State.REFUSE)])
def test_rounding_is_judged_in_units_of_the_data(step: float, state: State) -> None:
    x = 1000 * torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    report = check(Flow(StandardNormal((2,)), Rough(step)), x)
    assert not report.passed
    assert report.verdict.state is state, str(report)
