"""The models of the benchmarks: peers are trained and scored as they are, what does not suit says why."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import mixture
import models
import numpy as np
import pytest
import table_density
import tables
import torch
from cells import Cells
from mixed_tables import MixedTable
from models import PEERS, UnsuitedError, build, flow_options
from table_data import Table

from pushforward.cli.defaults import defaults
from pushforward.data.dataset import table_set

DATA = table_set("made up", np.random.default_rng(0).standard_normal((200, 3)), ["a", "b", "c"])


@pytest.mark.parametrize("name", PEERS)
def test_a_zuko_flow_in_our_clothes_has_its_own_density(name: str) -> None:
    pytest.importorskip("zuko")
    torch.manual_seed(0)
    flow = build(name, DATA)
    x = torch.randn(20, 3)
    own = flow.transform.flow().log_prob(x)
    torch.testing.assert_close(flow.log_prob(x), own, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(flow.decode(flow.encode(x)), x, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["real_nvp", "nsf_ar", "bnaf", *PEERS])
def test_the_options_of_a_cell_are_those_of_the_flow_that_is_built(name: str) -> None:
    if name in PEERS:
        assert flow_options(name, DATA) == PEERS[name]
        return
    config = build(name, DATA).config
    assert config is not None
    assert flow_options(name, DATA) == config.options


def test_other_defaults_make_another_cell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    table = Table("made up", DATA.x, DATA.x, DATA.x, 0.0, ())
    arguments = tables.parse_arguments([])

    def cell(model: str = "nsf", seed: int = 0, **given: Any) -> dict[str, Any]:
        return tables._cell(table, model, seed, argparse.Namespace(**{**vars(arguments), **given}))

    before = cell()
    assert before["options"] == cell(seed=1)["options"] == cell(seconds=9.0)["options"]
    assert len({made["options"] for made in (before, cell("nsf_ar"), cell(lr=0.5), cell(batch=7))}) == 4
    assert before["flow_options"]["bins"] == 8
    assert before["training"]["batch_size"] == before["batch"] == 64
    finished = Cells(tmp_path / "cells.jsonl", tables.KEY)
    finished.add(before)
    assert finished.done(cell())
    with monkeypatch.context() as patched:
        patched.setattr(models, "defaults", lambda data, name: ({"bins": 9}, defaults(data, name)[1]))
        assert cell()["flow_options"]["bins"] == 9
        assert not finished.done(cell())
    monkeypatch.setattr(models, "defaults", lambda data, name: ({}, {"lr": 5e-3, "batch_size": 64, "clip": 1.0}))
    assert not finished.done(cell())
    assert (cell()["lr"], cell()["batch"]) == (before["lr"], before["batch"])


def test_a_flow_for_other_data_is_left_out_with_the_reason() -> None:
    with pytest.raises(UnsuitedError, match="not known"):
        build("no-such-flow", DATA)


def test_the_mixture_finds_the_number_of_components_and_its_score() -> None:
    rng = np.random.default_rng(0)
    centres = np.array([[-8.0, 0.0], [8.0, 0.0], [0.0, 8.0], [0.0, -8.0], [0.0, 0.0]])
    x = centres[rng.integers(0, 5, 3000)] + rng.standard_normal((3000, 2))
    found = mixture.fit_mixture(x[:2000], x[2000:2500], 20.0, 0)
    assert found.model.n_components == 5
    truth = -np.log(5) - np.log(2 * np.pi) - 1
    assert found.model.score(x[2500:]) == pytest.approx(truth, abs=0.1)
    assert found.parameters == 5 * (2 + 3) + 4


def test_the_mixture_stops_in_time_with_a_density() -> None:
    x = np.random.default_rng(0).standard_normal((3000, 4))
    found = mixture.fit_mixture(x[:2000], x[2000:], 1e-6, 0)
    assert found.tried[0].startswith("1:")
    assert len(found.tried) == 1
    assert np.isfinite(found.validation)


@pytest.mark.parametrize("model", ["table-model", "joint-mixture", "gaussian"])
def test_every_density_of_a_table_is_scored(model: str) -> None:
    rng = np.random.default_rng(0)
    rows = {"x": rng.normal(size=300), "n": rng.poisson(3, 300), "k": rng.choice(["a", "b"], 300)}
    parts: Any = [{name: column[part] for name, column in rows.items()} for part in (slice(250), slice(250, None))]
    table = MixedTable("made up", 0, *parts, bounds={}, kinds={})
    scores, notes = table_density.peer_scores(table, {"model": model, "seed": 0, "seconds": 1.0})
    assert np.isfinite(scores).all()
    assert notes["discrete"] + notes["continuous"] == pytest.approx(scores.mean())
