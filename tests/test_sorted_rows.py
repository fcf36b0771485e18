"""Data in the order of their values are judged by rows from everywhere, not by the first ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from pushforward.bases import StandardNormal
from pushforward.evaluation import baselines
from pushforward.evaluation.calibration import marginal_pit
from pushforward.evaluation.fit_baselines import baseline_views
from pushforward.flow import Flow
from pushforward.reports import report
from pushforward.rows import Rows
from pushforward.transforms import Identity


def _sorted(n: int, features: int = 2) -> torch.Tensor:
    x = torch.randn(n, features, generator=torch.Generator().manual_seed(0))
    return x[x[:, 0].argsort()]


FLOW = Flow(StandardNormal((2,)), Identity((2,)))


def test_a_sample_of_rows_is_drawn_from_all_by_the_seed_in_their_order() -> None:
    rows = Rows(torch.arange(1000.0)[:, None], torch.arange(1000.0), torch.arange(1000))
    some = rows.sample(100, 3)
    assert len(some) == 100
    assert torch.equal(some.x[:, 0], some.x[:, 0].sort().values)
    assert some.x[:, 0].mean() == pytest.approx(500, abs=90)
    assert some.context is not None
    assert some.labels is not None
    assert torch.equal(some.context, some.x[:, 0])
    assert torch.equal(some.labels, some.x[:, 0].long())
    assert torch.equal(rows.sample(100, 3).x, some.x)
    assert not torch.equal(rows.sample(100, 4).x, some.x)
    assert rows.sample(1000, 3) is rows


def test_a_report_of_sorted_rows_compares_like_with_like() -> None:
    x = {name: _sorted(5000) for name in ("train", "validation", "test")}
    numbers = report(FLOW, x["train"], validation=x["validation"], test=x["test"]).numbers
    likelihood = numbers["likelihood"]
    assert likelihood["training_rows"]["value"]["mean"] == pytest.approx(likelihood["value"]["mean"], abs=0.15)
    assert numbers["latents"]["distance"][0] < 0.06
    assert all(column["pit_distance"] < 0.05 for column in numbers["columns"])


def test_calibration_takes_rows_from_everywhere() -> None:
    pits = marginal_pit(FLOW, Rows(_sorted(20_000)), 0)
    assert pits is not None
    assert pits[:, 0].mean() == pytest.approx(0.5, abs=0.02)


def test_baselines_are_chosen_on_rows_from_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pushforward.evaluation.fit_baselines._MOST_VALUES", 2000)
    parts = {name: Rows(_sorted(9000)) for name in ("train", "validation", "test")}
    view = baseline_views(FLOW, parts, 0)[0]
    assert abs(view.train[:, 0].mean()) < 0.1
    assert abs(view.validation[:, 0].mean()) < 0.1
    seen: list[Any] = []
    wide = _sorted(6000, 101)
    wide_flow = Flow(StandardNormal((101,)), Identity((101,)))
    monkeypatch.setattr("pushforward.evaluation.fit_baselines._MOST_VALUES", 101 * 6000)
    rest = baselines._Frame.rest
    monkeypatch.setattr(baselines._Frame, "rest", lambda self, x: seen.append(x) or rest(self, x))
    view = baseline_views(wide_flow, {name: Rows(wide) for name in ("train", "validation", "test")}, 0)[0]
    baselines._frame(view, 0)
    assert len(seen) > 0
    assert all(len(x) == 2000 and abs(np.mean(x[:, 0])) < 0.1 for x in seen)
