"""Scores of rows with columns that noise makes continuous."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pushforward.errors import ColumnWarning
from pushforward.estimators import FlowDensity, FlowRegressor
from pushforward.estimators.columns.plan import ColumnPlan
from pushforward.estimators.columns.tables import read_table
from pushforward.estimators.encoded import EncodedRows
from pushforward.estimators.predictions import PredictedNumbers


def test_the_places_within_the_cells_of_integers_share_the_probabilities_of_states(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    table = {"count": rng.poisson(60.0, 300), "label": rng.choice(["a", "b"], 300)}
    model = FlowDensity(max_steps=3, architectures=()).fit(table)
    before = model.score_samples(table)
    scored = []
    of_all = model.model_.blend.log_states

    def log_states(rows: EncodedRows) -> torch.Tensor:
        scored.append(len(rows))
        return of_all(rows)

    monkeypatch.setattr(model.model_.blend, "log_states", log_states)
    assert (model.score_samples(table) == before).all()
    assert scored == [2]


def test_the_probabilities_of_counts_near_their_bound_sum_to_one() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=600)
    counts = rng.poisson(np.exp(1 + 0.8 * x))
    every, at = np.arange(120), [-2.5, -1.9, -1.0, 0.0]
    density = FlowDensity(max_steps=5, architectures=()).fit({"x": x, "count": counts})
    regressor = FlowRegressor(max_steps=5).fit({"x": x}, counts)
    predicted = regressor.predict_distribution({"x": at})
    assert isinstance(predicted, PredictedNumbers)
    for row, each in enumerate(at):
        table = {"x": np.full(120, each), "count": every}
        alone = density.score_samples({"x": [each]}, marginal=True)
        assert np.exp(density.score_samples(table) - alone).sum() == pytest.approx(1, abs=1e-4)
        log_masses = regressor.log_density({"x": table["x"]}, every)
        assert np.exp(log_masses).sum() == pytest.approx(1, abs=1e-4)
        assert predicted.take(np.full(120, row)).log_pdf(every) == pytest.approx(log_masses, rel=1e-6)
        below = [predicted.cdf(np.full(4, number))[row] for number in (0.0, 1.0)]
        assert np.exp(log_masses[:2]) == pytest.approx(np.diff(below, prepend=0.0), abs=1e-6)
    assert np.exp(density.score_samples({"count": every}, marginal=True)).sum() == pytest.approx(1, abs=1e-4)


def test_the_probabilities_of_integers_between_two_bounds_sum_to_one() -> None:
    rng = np.random.default_rng(0)
    x, levels = rng.normal(size=600), np.arange(256, dtype=np.uint8)
    counts = np.clip(np.round(220 + 30 * x + 5 * rng.normal(size=600)), 0, 255).astype(np.uint8)
    density = FlowDensity(max_steps=5, architectures=(), kinds={"count": "integer"}).fit({"x": x, "count": counts})
    for at in (-2.0, 0.0, 1.5):
        alone = density.score_samples({"x": [at]}, marginal=True)
        joint = density.score_samples({"x": np.full(256, at), "count": levels})
        assert np.exp(joint - alone).sum() == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("seed", [0, 2])
def test_the_probabilities_of_two_counts_next_to_their_bounds_sum_to_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rate = rng.gamma(2, 1, 500)
    counts = {"a": rng.poisson(1.2 * rate), "b": rng.poisson(0.8 * rate)}
    kinds = dict.fromkeys(counts, "integer")
    density = FlowDensity(max_steps=5, architectures=(), random_state=seed, kinds=kinds).fit(counts)
    a, b = (grid.ravel() for grid in np.meshgrid(np.arange(40), np.arange(40)))
    assert np.exp(density.score_samples({"a": a, "b": b})).sum() == pytest.approx(1, abs=3e-3)


def test_a_count_whose_cell_is_narrower_than_rounding_has_a_density() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 1))
    counts = rng.poisson(np.exp(3 + x[:, 0])).astype(np.int64)
    counts[0] = 4 * 10**15
    with pytest.warns(ColumnWarning, match="far from all others"):
        model = FlowRegressor(max_steps=5).fit(x, counts)
    scores = model.log_density(x, counts)
    assert np.isfinite(scores).all()
    assert model.predict_distribution(x).log_pdf(counts) == pytest.approx(scores, abs=0.1)


@pytest.mark.parametrize("name", ["counts", "limits", "atom inside", "tenths", "hours", "durations", "circle"])
def test_values_between_the_ends_of_a_cell_are_those_of_its_number(name: str) -> None:
    rng = np.random.default_rng(0)
    columns = {
        "counts": rng.poisson(3.0, 400),
        "limits": np.clip(rng.normal(20, 60, 400), 0, 255).astype(np.uint8),
        "atom inside": np.where(rng.random(400) < 0.4, 40, rng.poisson(40.0, 400)),
        "tenths": np.exp(rng.normal(size=400)).round(1),
        "hours": np.datetime64("2020-01-01T00", "s") + 3600 * rng.integers(0, 2000, 400),
        "durations": np.timedelta64(1, "s") * rng.poisson(30.0, 400),
        "circle": rng.integers(0, 360, 400),
    }
    hint = {"x": "period:0:360"} if name == "circle" else None
    plan = ColumnPlan.guess({"x": columns[name]}, hint)
    column, table = plan.modelled[0], read_table({"x": columns[name]})
    assert column.kind.noisy
    array = table.columns["x"]
    states = column.encode(array, np.full(400, 0.5)).states
    low, high = column.edges(array)
    assert (low[states == 0] < high[states == 0]).all()
    low, high = (np.where(np.isinf(end), np.sign(end) * 20, end) for end in (low, high))
    for place in (0.001, 0.5, 0.999):
        assert column.decode(states, low + place * (high - low)).equals(array)
