"""The evidence on a flow: which parts there are, and that contexts, weights and bounds are taken account of."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from pushforward import flows
from pushforward.bases import StandardNormal
from pushforward.evaluation import flow_evidence as module
from pushforward.evaluation.baselines import Baseline
from pushforward.evaluation.fit_quality import FitEvidence, assess_fit
from pushforward.evaluation.flow_evidence import ScoredRows, flow_evidence
from pushforward.evaluation.scores import score
from pushforward.evaluation.verdict import State
from pushforward.flow import Flow
from pushforward.rows import Rows
from pushforward.transforms import Identity


def evidence(flow: Flow, train: Rows, held_out: Rows, **options: Any) -> FitEvidence:
    """The evidence on a flow with 2,000 samples, beside a baseline that is worse."""
    on_held_out = score(flow, held_out, 0)
    baselines = [Baseline("gaussian", "", on_held_out.nats - 1, 0.0), Baseline("truth", "", on_held_out.nats + 9, 0.0)]
    scored = ScoredRows(train, held_out, score(flow, train, 0), on_held_out, baselines)
    samples = None if held_out.context is not None else flow.sample(2000, seed=0).cpu().double().numpy()
    samples = np.zeros((0, *flow.event_shape)) if samples is None else samples
    return flow_evidence(flow, scored, samples, 0, **options)


def normal(count: int, seed: int, columns: int = 2) -> torch.Tensor:
    return torch.randn(count, columns, generator=torch.Generator().manual_seed(seed))


def test_a_flow_that_is_right_is_good_by_every_measure() -> None:
    found = evidence(
        Flow(StandardNormal((2,)), Identity((2,))), Rows(normal(500, 1)), Rows(normal(400, 2)), best_step=3
    )
    assert found.latents is not None
    assert found.latents.shape == (400, 2)
    assert list(found.rivals) == ["Gaussian"]
    quality = assess_fit(found)
    assert quality.verdict.state is State.GOOD, str(quality.verdict)
    assert len(quality.findings) == 12


class Shift(Identity):
    """Adds the context."""

    def to_latent(self, x: Any, context: Any = None, noise: Any = None) -> Any:
        z, term = super().to_latent(x, None, noise)
        return z - context, term

    def to_data(self, z: Any, context: Any = None, noise: Any = None) -> Any:
        x, term = super().to_data(z, None, noise)
        return x + context, term


@pytest.mark.parametrize(("unit", "good"), [(1.0, True), (2.54, False)])
def test_a_wrong_unit_of_the_context_is_a_fault_of_the_fit(
    unit: float, good: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CONDITIONAL_ROWS", 300)
    flow = Flow(StandardNormal((2,)), Shift((2,)), context_shape=(2,))
    contexts = [normal(count, seed) for count, seed in ((500, 3), (400, 4))]
    rows = [Rows(normal(len(c), seed) + c, unit * c) for seed, c in enumerate(contexts)]
    found = evidence(flow, *rows)
    assert found.context is not None
    assert found.samples is not None
    assert len(found.context) == len(found.samples) == len(found.log_held_out) == 300
    assert (assess_fit(found).verdict.state is State.GOOD) is good


def test_weights_come_with_the_rows() -> None:
    flow = Flow(StandardNormal((2,)), Identity((2,)))
    wide = 1.5 * normal(3000, 5)
    weights = torch.exp((wide.square() * (1 / 2.25 - 1) / 2).sum(1)).double()
    found = evidence(flow, Rows(normal(500, 1)), Rows(wide, weights=weights))
    assert assess_fit(found).verdict.state is State.GOOD
    assert assess_fit(replace(found, weights=None)).verdict.state is not State.GOOD


def test_samples_that_are_not_finite_are_left_out() -> None:
    flow = Flow(StandardNormal((2,)), Identity((2,)))
    rows = Rows(normal(60, 1))
    scores = score(flow, rows, 0)
    samples = normal(100, 2).double().numpy()
    samples[:7] = np.nan
    found = flow_evidence(flow, ScoredRows(rows, rows, scores, scores, []), samples, 0)
    assert found.samples is not None
    assert len(found.samples) == 93


def test_a_bound_is_not_compared_row_by_row_and_has_no_joint_transform() -> None:
    torch.manual_seed(0)
    flow = flows.build("nice", 2, levels=4, transforms=1, hidden=(4,))
    rows = Rows(torch.randint(0, 4, (60, 2)))
    found = evidence(flow, rows, rows)
    assert found.latents is None
    assert not found.exact
    assert "rival_rows" not in {finding.measure for finding in assess_fit(found).findings}
