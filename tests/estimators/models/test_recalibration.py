"""Recalibration of an ensemble: factors from rows that no net has seen, in scores, draws and saved models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pushforward.estimators import FlowRegressor
from pushforward.estimators.encoded import EncodedRows
from pushforward.estimators.models import blend, column_chain, fit_table, folds
from pushforward.estimators.models.column_distribution import mixed
from pushforward.estimators.models.folds import Folds
from pushforward.estimators.models.mixture_head import MixtureHead
from pushforward.estimators.models.recalibration import Recalibration, recalibration

COUNT = 3000


def heads(errors: torch.Tensor, width: float) -> MixtureHead:
    """Gaussians of one component whose means are ``errors: (nets, N)``."""
    means = errors[..., None]
    return MixtureHead(torch.zeros_like(means), means, torch.full_like(means, np.log(width)))


def coverage(of_nets: MixtureHead, values: torch.Tensor) -> float:
    """The fraction of the values between the quantiles at 5 % and 95 % of the mean of the nets' densities."""
    each = [MixtureHead(*(part[net] for part in of_nets)) for net in range(len(of_nets.means))]
    both = mixed(each, torch.full((len(each), len(values)), -np.log(len(each))).double())
    below = both.log_tails(values)[0].exp()
    return float(((below > 0.05) & (below < 0.95)).double().mean())


def drawn(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_the_mean_of_nets_that_disagree_gets_the_coverage_of_its_level() -> None:
    values, others = drawn(COUNT, seed=0), drawn(COUNT, seed=1)
    # Each net alone is calibrated: the variance of its predictions is that of the values and of its error.
    of_nets, of_others = (heads(drawn(2, COUNT, seed=seed), np.sqrt(2)) for seed in (2, 3))
    assert coverage(of_others, others) > 0.94
    factors = recalibration(of_nets, values, torch.ones(COUNT).double())
    assert factors is not None
    assert factors.deviations < 0.3
    assert coverage(factors.of(of_others), others) == pytest.approx(0.9, abs=0.015)


@pytest.mark.parametrize("nets", [1, 3])
def test_nets_that_are_too_narrow_are_widened(nets: int) -> None:
    values = drawn(COUNT, seed=0)
    factors = recalibration(heads(torch.zeros(nets, COUNT).double(), 0.5), values, torch.ones(COUNT).double())
    assert factors is not None
    assert factors.widths == pytest.approx(2, rel=0.04)
    weighted = recalibration(heads(torch.zeros(nets, COUNT).double(), 0.5), values, (values.abs() < 1).double())
    assert weighted is not None
    assert weighted.widths < 1.2


def test_right_nets_stay_as_they_are() -> None:
    values = drawn(200, seed=4)
    factors = recalibration(heads(torch.zeros(1, 200).double(), float(values.std())), values, torch.ones(200).double())
    assert factors is None
    assert recalibration(heads(torch.zeros(1, 1).double(), 1.0), values[:1], torch.ones(1).double()) is None


@pytest.mark.parametrize("conditional", [False, True])
def test_rows_that_recalibrate_are_in_no_split_of_a_model_of_targets(conditional: bool) -> None:
    count = 5000
    rows = EncodedRows.of(torch.zeros(count, 1, dtype=torch.long), torch.arange(count).double()[:, None])
    divided = Folds(rows, torch.ones(count).double(), seed=0, conditional=conditional)
    apart, weights = divided.recalibrating
    assert len(apart) == len(weights) == (250 if conditional else 0)
    for fold in range(divided.count):
        split = divided.split(fold)
        parts = [part.values[:, 0] for part in (split.rows, split.validation, apart)]
        assert torch.equal(torch.cat(parts).sort().values, rows.values[:, 0])
        assert len(split.validation) == (250 if conditional else 500)


def test_a_fit_recalibrates_scores_draws_quantiles_and_the_saved_model_alike(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 1))
    y = x[:, 0] + rng.normal(size=400)
    monkeypatch.setattr(folds, "_RECALIBRATED", 300)
    monkeypatch.setattr(column_chain, "recalibration", lambda heads, values, weights: Recalibration(widths=0.5))
    monkeypatch.setattr(blend, "recalibration", lambda heads, values, weights: Recalibration(widths=0.7))
    model = FlowRegressor(max_steps=40).fit(x, y)
    assert model.model_.chain.recalibrations == {1: Recalibration(widths=0.5)}
    assert model.model_.blend.recalibrations == {1: Recalibration(widths=0.7)}
    points = np.linspace(-10, 10, 2001)
    same = np.zeros((len(points), 1))
    density = np.exp(model.log_density(same, points))
    assert density.sum() * 0.01 == pytest.approx(1, abs=1e-4)
    low, high = model.predict_quantiles(same[:1], [0.05, 0.95])[0]
    assert density[(points > low) & (points < high)].sum() * 0.01 == pytest.approx(0.9, abs=0.01)
    draws = model.sample(same[:1], 4000)[0]
    assert ((draws > low) & (draws < high)).mean() == pytest.approx(0.9, abs=0.02)
    model.save(tmp_path / "model")
    loaded = FlowRegressor.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.log_density(x, y), model.log_density(x, y))
    loaded.model_.blend.recalibrations = {}
    assert high - low < 0.95 * np.ptp(loaded.predict_quantiles(same[:1], [0.05, 0.95])[0])


def test_targets_for_which_no_time_is_left_keep_the_distributions_of_the_nets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folds, "_RECALIBRATED", 60)
    monkeypatch.setattr(column_chain, "recalibration", lambda heads, values, weights: Recalibration(widths=0.5))
    X, y = np.random.default_rng(0).normal(size=(200, 1)), np.random.default_rng(1).normal(size=(200, 3))
    chain = FlowRegressor(max_steps=3).fit(X, y).model_.chain
    chain.recalibrations = {}
    rows = EncodedRows.of(torch.zeros(20, 4, dtype=torch.int64), drawn(20, 4, seed=0))
    checks = iter([False, True])
    assert chain.recalibrate(rows, torch.ones(20).double(), lambda: next(checks)) == [2, 3]
    assert chain.recalibrations == {1: Recalibration(widths=0.5)}
    monkeypatch.setattr(fit_table, "_RECALIBRATION_TIME", 0.0)
    monkeypatch.setattr(fit_table, "_LEAST_RECALIBRATION", 0.0)
    model = FlowRegressor(max_seconds=60, max_steps=3).fit(X, y).model_
    assert model.chain.recalibrations == {}
    assert model.notes == ["3 of 3 targets are not recalibrated: the time limit left none for them"]
