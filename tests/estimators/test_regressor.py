"""`FlowRegressor`: means, quantiles, densities and draws of targets given a table."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pushforward.errors import ColumnWarning, OptionError, UnknownCellWarning
from pushforward.estimators import FlowRegressor

RNG = np.random.default_rng(0)
X = RNG.normal(size=(500, 2))
Y = 3 * X[:, 0] + RNG.normal(size=500)


@pytest.fixture(scope="module")
def model() -> FlowRegressor:
    return FlowRegressor(max_steps=40).fit(X, Y)


def test_predictions_are_those_of_the_normal_distribution_of_the_data(model: FlowRegressor) -> None:
    grid = np.array([[-1.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    assert model.predict(grid) == pytest.approx([-3, 0, 3], abs=0.4)
    quantiles = model.predict_quantiles(grid, [0.05, 0.95])
    assert quantiles[:, 1] - quantiles[:, 0] == pytest.approx(3.29, abs=0.7)
    assert model.log_density(grid, [-3, 0, 3]) == pytest.approx(-0.92, abs=0.3)
    assert model.score(X, Y) > 0.85


def test_an_interval_holds_its_share_of_the_rows(model: FlowRegressor) -> None:
    interval = model.predict_interval(X, 0.8)
    assert ((interval[:, 0] <= Y) & (interval[:, 1] >= Y)).mean() == pytest.approx(0.8, abs=0.06)
    with pytest.raises(OptionError, match="coverage"):
        model.predict_interval(X, 90)


def test_a_wild_target_does_not_decide_the_means_of_other_rows() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 1))
    counts = rng.poisson(np.exp(3 + x[:, 0]))
    counts[0] = 1_000_000
    with pytest.warns(ColumnWarning, match="far from all others"):
        means = FlowRegressor(max_steps=20).fit(x, counts).predict(x)
    assert np.median(means) < 10 * counts.mean()


def check_distributions(model: FlowRegressor, table: object, target: np.ndarray) -> None:
    """The methods of a predicted distribution agree with each other and with draws."""
    predicted = model.predict_distribution(table)
    draws = predicted.sample(4000, torch.Generator().manual_seed(0))
    deviation = predicted.var() ** 0.5
    assert predicted.mean() == pytest.approx(draws.mean(1), abs=0.1 * deviation.max())
    assert deviation == pytest.approx(draws.std(1), rel=0.15)
    assert predicted.cdf(target) == pytest.approx((draws <= target[:, None]).mean(1), abs=0.04)
    levels = np.array([0.1, 0.5, 0.9])
    quantiles = predicted.ppf(levels)
    assert (np.stack([predicted.cdf(quantiles[:, i]) for i in range(3)], 1) >= levels - 1e-6).all()
    below = np.stack([predicted.cdf(quantiles[:, i] - 1e-6 - 1e-9 * abs(quantiles[:, i])) for i in range(3)], 1)
    assert (below <= levels + 1e-5).all()
    assert predicted.log_pdf(target) == pytest.approx(model.log_density(table, target), rel=1e-6)
    assert predicted.energy() == pytest.approx(abs(draws[:, :2000] - draws[:, 2000:]).mean(1), rel=0.1)
    assert predicted.energy(target) == pytest.approx(abs(draws - target[:, None]).mean(1), rel=0.1)


def test_methods_of_a_distribution_agree_for_a_real_target(model: FlowRegressor) -> None:
    check_distributions(model, X[:5], Y[:5])


@pytest.mark.parametrize("kind", ["zeros", "few whole numbers", "counts", "positive"])
def test_methods_of_a_distribution_agree_for_other_targets(kind: str) -> None:
    targets = {
        "zeros": np.where(RNG.random(500) < 0.3, 0.0, np.exp(Y / 3)),
        "few whole numbers": np.round(Y / 2).clip(-2, 2),
        "counts": RNG.poisson(300 + 30 * (X[:, 0] > 0), size=500),
        "positive": np.exp(Y / 2),
    }
    # Long enough for the exponential of a target to have moments that draws can show.
    model = FlowRegressor(max_steps=100).fit(X, targets[kind])
    check_distributions(model, X[:5], targets[kind][:5].astype(float))


def test_the_quantile_at_level_zero_is_the_least_value() -> None:
    rng = np.random.default_rng(3)
    few = FlowRegressor(max_steps=5).fit(X, rng.integers(0, 4, size=500))
    assert few.predict_quantiles(X[:2], [0, 0.01, 1]).tolist() == [[0, 0, 3]] * 2
    zeros = FlowRegressor(max_steps=5).fit(X, np.where(rng.random(500) < 0.3, 0.0, 1 + np.exp(Y / 3)))
    assert zeros.predict_quantiles(X[:2], [0, 0.01]).tolist() == [[0, 0]] * 2


@pytest.mark.parametrize("step", [None, 1])
def test_the_distribution_of_a_number_on_a_circle_agrees_with_its_draws(step: int | None) -> None:
    rng = np.random.default_rng(4)
    wide = np.where(rng.random(500) < 0.3, 180, 0)
    hours = np.mod(rng.normal(50 * X[:, 0], 20) + wide, 360)
    target = hours if step is None else np.floor(hours).astype(int)
    model = FlowRegressor(max_steps=5, kinds={"y": "period:0:360"}).fit(X, target)
    predicted = model.predict_distribution(X[:4])
    draws = predicted.sample(4000, torch.Generator().manual_seed(0))
    for points in (0.0, 5.0, 20.0, 100.0, 200.0, 355.0, 359.0, 360.0):
        below = (draws <= points).mean(1)
        assert predicted.cdf(np.full(4, points)) == pytest.approx(below, abs=0.03)
    levels = np.array([0.0, 0.05, 0.5, 0.95, 1.0])
    quantiles = predicted.ppf(levels)
    assert (quantiles[:, 0] == 0).all()
    fractions = (draws[:, :, None] <= quantiles[:, None]).mean(1)
    assert (fractions >= levels - 0.03).all()
    assert ((draws[:, :, None] < quantiles[:, None]).mean(1) <= levels + 0.03).all()
    turned = np.exp(2j * np.pi / 360 * draws).mean(1)
    off = np.exp(2j * np.pi / 360 * predicted.mean()) * np.conj(turned)
    assert (np.abs(np.angle(off)) * np.abs(turned) < 0.06).all()


def test_several_targets_are_predicted_together() -> None:
    both = np.stack([Y, Y + 0.1 * RNG.normal(size=500)], 1)
    model = FlowRegressor(max_steps=20).fit({"a": X[:, 0], "b": np.where(X[:, 1] > 0, "u", "v")}, both)
    table = {"a": X[:4, 0], "b": ["u", "v", "u", "v"]}
    assert model.predict(table).shape == (4, 2)
    assert model.predict_interval(table).shape == (4, 2, 2)
    draws = model.sample(table, 500)
    assert draws.shape == (4, 500, 2)
    residuals = draws[0] - draws[0].mean(0)
    assert np.corrcoef(residuals.T)[0, 1] > 0.9
    assert model.log_density(table, both[:4]).shape == (4,)


@pytest.mark.parametrize("target", [np.arange(40), np.full(40, 2.5), 3 * X[:40, 0]])
def test_a_target_is_modelled_even_where_a_column_would_be_left_out(target: np.ndarray) -> None:
    model = FlowRegressor(max_steps=5).fit(X[:40], target)
    assert np.isfinite(model.predict(X[:3])).all()


@pytest.mark.parametrize("others", ["equal", "linear", "sum", "equal integers"])
def test_targets_that_determine_each_other_are_all_modelled(others: str) -> None:
    second = X[:, 1] - Y
    targets = {"equal": [Y, Y], "linear": [Y, 2 * Y + 1], "sum": [Y, second, Y + second]}
    counts = np.rint(40 + 5 * Y).astype(int)
    target = np.stack(targets.get(others, [counts, counts]), 1)
    model = FlowRegressor(max_steps=5)
    if others == "equal integers":
        model.fit(X, target)
    else:
        with pytest.warns(ColumnWarning, match="no joint density"):
            model.fit(X, target)
    assert model.predict(X[:3]).shape == model.sample(X[:3])[:, 0].shape == target[:3].shape
    assert np.isfinite(model.score(X, target))
    assert np.isfinite(model.log_density(X, target)).all()
    assert [column.kind.noisy for column in model.target_plan_.modelled] == [others == "equal integers"] * len(target.T)


def test_gaps_and_unseen_values_are_unknown_and_the_second_are_named() -> None:
    rng = np.random.default_rng(2)
    table = {"x": rng.normal(size=400), "word": np.where(rng.random(400) < 0.5, "u", "v")}
    target = 3 * table["x"] + np.where(table["word"] == "u", 4.0, -4.0) + rng.normal(size=400)
    model = FlowRegressor(max_steps=5).fit(table, target)
    known, gap = model.predict({"x": [1.0, np.nan], "word": ["u", "u"]})
    assert known == pytest.approx(7, abs=1)
    assert gap == pytest.approx(4, abs=1)
    rows = {"x": [1.0, 1.0], "word": ["u", "w"]}
    with pytest.warns(UnknownCellWarning, match="'word', row 1: one of .* expected, got w"):
        means = model.predict(rows)
    assert means == pytest.approx([7, 3], abs=1)
    with pytest.warns(UnknownCellWarning):
        assert np.isfinite(model.log_density(rows, [7.0, 3.0])).all()


def test_the_score_counts_rows_by_the_column_of_weights() -> None:
    weights = np.where(X[:, 1] > 0, 5.0, 1.0)
    table = {"a": X[:, 0], "b": X[:, 1], "w": weights}
    model = FlowRegressor(max_steps=20, kinds={"w": "weight"}).fit(table, Y)
    plain = {name: column for name, column in table.items() if name != "w"}
    assert model.score(table, Y) == pytest.approx(model.score(plain, Y, weights))
    assert model.score(table, Y) != pytest.approx(model.score(plain, Y))


def test_rows_of_weight_zero_widen_no_moments() -> None:
    weights = (np.arange(500) > 0).astype(float)
    plain, wild = (FlowRegressor(max_steps=3, random_state=0) for _ in range(2))
    target = np.exp(Y / 3)
    plain.fit(X, target, weights)
    wild.fit(X, np.where(weights > 0, target, 1e200), weights)
    assert wild.predict(X[:20]).tolist() == plain.predict(X[:20]).tolist()
    assert [wild._low.tolist(), wild._high.tolist()] == [plain._low.tolist(), plain._high.tolist()]
