"""The verdict on a model of a table: states and values become numbers, and faults of either are seen."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pushforward.estimators import FlowDensity
from pushforward.estimators.encoded import UNKNOWN, ColumnShape, EncodedRows
from pushforward.estimators.models.column_distribution import ColumnDistribution
from pushforward.estimators.models.mixture_head import MixtureHead
from pushforward.estimators.models.table_model import TableModel
from pushforward.estimators.table_evidence import table_evidence as evidence_and_rows
from pushforward.evaluation.fit_quality import FitEvidence, assess_fit
from pushforward.evaluation.verdict import State

# A label, and a number that has a gap in a tenth of the rows; its mean follows the label.
SHAPES = (ColumnShape(3, value=False), ColumnShape(2))
NAMES = ("kind", "size")


@dataclass
class Truth:
    """A density in closed form in place of a blend. gaps: the probability of a gap."""

    gaps: float = 0.1
    slope: float = 2.0
    width: float = 1.0
    shift: float = 0.0

    def normal(self, label: Tensor) -> torch.distributions.Normal:
        return torch.distributions.Normal(self.slope * label + self.shift, self.width)

    def log_states(self, rows: EncodedRows) -> Tensor:
        gap = rows.states[:, 1]
        return -math.log(3) + torch.where(gap == 1, math.log(self.gaps), math.log(1 - self.gaps)).double()

    def log_values(self, rows: EncodedRows) -> Tensor:
        label, gap = rows.states.double().T
        return torch.where(gap == 1, 0.0, self.normal(label).log_prob(rows.values[:, 1]))

    def draw(self, given: EncodedRows, generator: torch.Generator) -> EncodedRows:
        label = given.states[:, 0]
        label = torch.where(label < 0, torch.randint(0, 3, label.shape, generator=generator), label)
        gap = (torch.rand(label.shape, generator=generator) < self.gaps).long()
        noise = torch.randn(label.shape, generator=generator).double()
        value = self.slope * label + self.shift + self.width * noise
        values = torch.stack([torch.zeros_like(value), torch.where(gap == 1, 0.0, value)], 1)
        return EncodedRows.of(torch.stack([label, gap], 1), values)

    def conditional(self, given: EncodedRows, column: int) -> ColumnDistribution:
        """The distribution of the number given the label."""
        normal = self.normal(given.states[:, :1].double())
        log_states = torch.tensor([1 - self.gaps, self.gaps], dtype=torch.float64).log().expand(len(given), 2)
        return ColumnDistribution(log_states, MixtureHead(torch.zeros_like(normal.loc), normal.loc, normal.scale.log()))


def model(targets: Sequence[int] = (0, 1), **faults: float) -> TableModel:
    blend: Any = Truth(**faults)
    return TableModel(SHAPES, targets, blend, blend)


def table_evidence(*given: Any, **options: Any) -> FitEvidence:
    return evidence_and_rows(*given, **options).fit


def rows(count: int, seed: int) -> EncodedRows:
    return model().sample(count, generator=torch.Generator().manual_seed(seed))


def test_a_right_model_of_a_table_is_good() -> None:
    evidence = table_evidence(model(), rows(800, 1), rows(500, 2), names=NAMES)
    assert evidence.names == ["kind", "the state of size", "size"]
    assert evidence.held_out is not None
    assert np.isnan(evidence.held_out[:, 2]).tolist() == (evidence.held_out[:, 1] == 1).tolist()
    assert assess_fit(evidence).verdict.state is State.GOOD


def test_a_wrong_rate_of_gaps_is_named() -> None:
    quality = assess_fit(table_evidence(model(gaps=0.3), rows(800, 1), rows(500, 2), names=NAMES))
    assert quality.verdict.state is not State.GOOD
    assert any("the marginal of" in reason and "size" in reason for reason in quality.verdict.reasons)


def test_a_model_of_a_target_is_judged_given_the_other_columns() -> None:
    right = table_evidence(model([1]), rows(800, 1), rows(500, 2), names=NAMES)
    assert right.context is not None
    assert right.context.shape == (500, 1)
    assert right.names == ["the state of size", "size"]
    assert assess_fit(right).verdict.state is State.GOOD
    wrong = table_evidence(model([1], slope=0.5), rows(800, 1), rows(500, 2), names=NAMES)
    assert assess_fit(wrong).verdict.state is not State.GOOD


@pytest.mark.parametrize(
    ("faults", "reason"),
    [
        ({"width": 1.3}, r"the predictive distribution of size is too wide: .* hold 6\d and 9\d %"),
        ({"width": 0.7}, r"the predictive distribution of size is too narrow: .* hold \d\d and 8\d %"),
        ({"shift": 0.4}, "the predictive distribution of size is off: up to 1"),
        ({"gaps": 0.3}, "the predictive distribution of .*size is off"),
    ],
)
def test_a_predictive_distribution_that_is_too_wide_too_narrow_or_shifted_is_named(
    faults: dict[str, float], reason: str
) -> None:
    quality = assess_fit(table_evidence(model([1], **faults), rows(800, 1), rows(2000, 2), names=NAMES))
    assert quality.verdict.state is not State.GOOD
    assert any(re.match(reason, each) for each in quality.verdict.reasons), quality.verdict.reasons


def test_right_predictive_distributions_are_good_for_any_seed() -> None:
    given = model([1]), rows(800, 1)
    states = [
        assess_fit(table_evidence(*given, rows(1000, 10 + i), names=NAMES, seed=i), i).verdict.state for i in range(20)
    ]
    assert states.count(State.GOOD) >= 19


def test_an_impossible_row_has_density_zero() -> None:
    held_out = rows(500, 2)
    held_out.impossible[:5] = True
    evidence = table_evidence(model(), rows(800, 1), held_out, names=NAMES)
    assert np.isneginf(evidence.log_held_out).sum() == 5
    assert assess_fit(evidence).verdict.reasons[0] == "5 of 500 held-out rows have density zero"


def test_an_impossible_target_does_not_make_its_distribution_too_wide() -> None:
    held_out = rows(1000, 2)
    held_out.impossible[:100], held_out.states[:50, 1], held_out.values[:100, 1] = True, UNKNOWN, 0.0
    reasons = assess_fit(table_evidence(model([1]), rows(800, 1), held_out, names=NAMES)).verdict.reasons
    assert "100 of 1,000 held-out rows have density zero" in reasons
    assert not any("predictive distribution" in reason for reason in reasons)


def test_training_rows_are_drawn_in_proportion_to_their_weights() -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([0.1 * rng.normal(size=900), 5 * rng.normal(size=100)])
    weights = np.where(np.arange(1000) < 900, 1.0, 9.0)
    estimator = FlowDensity(held_out=0.3, max_steps=30, architectures=()).fit(x[:, None], sample_weight=weights)
    gap = next(finding for finding in estimator.quality_.findings if finding.measure == "gap")
    assert gap.size < 0.5


def test_equal_held_out_rows_are_judged_as_often_as_the_table_has_them() -> None:
    x = np.random.default_rng(0).normal(size=(2000, 1))
    x[::3] = 1.5
    estimator = FlowDensity(max_steps=30, architectures=(), kinds={"x0": "real"}).fit(x[:1000])
    assert estimator.assess(x[1000:], x[:1000]).rows == 1000
