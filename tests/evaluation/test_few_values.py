"""Intervals of means of few values, and the memory that many draws take."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pushforward import flows
from pushforward.evaluation import calibration
from pushforward.evaluation.likelihood_comparison import comparison_in_words
from pushforward.evaluation.scores import remark_on_few, standard_errors, summarise
from pushforward.inference import importance, importance_sampling
from pushforward.likelihood import combined
from pushforward.rows import Rows


@pytest.mark.parametrize("count", [2, 3, 8])
def test_intervals_of_means_of_few_values_cover_what_they_say(count: int) -> None:
    rng = np.random.default_rng(0)
    summaries = [summarise(values) for values in rng.normal(size=(4000, count))]
    covered, by_two = (
        np.mean([abs(s.mean) <= width * s.standard_error for s in summaries if s.mean and s.standard_error])
        for width in (standard_errors(count), 2.0)
    )
    assert covered == pytest.approx(0.9545, abs=0.012)
    assert by_two < 0.93
    assert standard_errors(10_000) == pytest.approx(2, abs=1e-3)


def test_few_values_are_remarked_on() -> None:
    assert "2 draws is rough: a 95 % interval is +- 14.0 of it" in remark_on_few(2, "draws")
    assert remark_on_few(1, "rows") == remark_on_few(None, "rows") == remark_on_few(100, "rows") == ""


def test_a_comparison_on_few_rows_takes_account_of_their_number() -> None:
    def of(rows: int) -> str:
        value = {"mean": 3.0, "standard_error": 1.0, "rows": rows}
        baseline = {"role": "gaussian", "value": value, "difference": value}
        likelihood = {
            "unit": "nats", "value": value, "zero_density": 0, "not_a_number": 0, "kind": "exact",
            "kind_in_words": "exact", "baselines": [baseline],
        }  # fmt: skip
        return comparison_in_words(likelihood)

    assert "no clear difference" in of(3)
    assert "better than the best baseline" in of(1000)


def test_figures_of_many_contexts_are_those_of_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    flow, contexts = flows.build("maf", 2, context_dim=1, transforms=1, hidden=(4,)), torch.randn(7, 1)

    def target(x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        return -x.square().sum(1) / 2 + c[:, 0]

    monkeypatch.setattr(importance_sampling, "_HELD_WEIGHTS", 6000)
    found = importance(flow, target, samples=2000, context=contexts)
    assert found.log_normaliser.shape == (7,)
    torch.testing.assert_close(found.log_normaliser.float(), contexts[:, 0] + np.log(2 * np.pi), atol=1e-3, rtol=0)


def test_many_draws_of_a_bound_are_held_for_few_rows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    flow = flows.build("nice", 2, levels=4, transforms=1, hidden=(4,))
    x = torch.randint(0, 4, (9, 2))
    whole = flow.likelihood(x, samples=20, seed=1)
    monkeypatch.setattr("pushforward.flow._HELD_VALUES", 40)
    sizes = []

    def counted(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        sizes.append(values.numel())
        return combined(values)

    monkeypatch.setattr("pushforward.flow.combined", counted)
    few = flow.likelihood(x, samples=20, seed=1)
    assert max(sizes) <= 40
    torch.testing.assert_close(few.value, whole.value)


def test_ranks_among_draws_are_taken_a_block_of_contexts_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    flow = flows.build("maf", 3, context_dim=1, transforms=1, hidden=(4,))
    part = Rows(torch.randn(130, 3), torch.randn(130, 1))
    sizes = []
    sample = flow.sample

    def counted(n: int, *args: object, **more: object) -> torch.Tensor:
        drawn = sample(n, *args, **more)  # type: ignore[arg-type]
        sizes.append(drawn.numel())
        return drawn

    monkeypatch.setattr(flow, "sample", counted)
    pits = calibration.marginal_pit(flow, part, 0)
    assert pits is not None
    assert pits.shape == (130, 3)
    assert max(sizes) <= 200 * 50 * 3
    assert calibration.uniformity(torch.from_numpy(pits[:, 0])) > 1e-3
