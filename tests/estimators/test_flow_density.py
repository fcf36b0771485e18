"""`FlowDensity`: scores, samples and answers about some columns given others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow
import pytest
import torch

from pushforward.errors import DataError, OptionError, ShapeError, UnknownCellWarning
from pushforward.estimators import FlowDensity, FlowOutlierDetector
from pushforward.estimators.conditioning import encode_given
from pushforward.estimators.encoded import joined

ROWS = 400


def mixed_table(seed: int = 0) -> dict[str, Any]:
    """A normal number, a noisy copy, its sign in a word, a count, a gap now and then, and many zeros."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=ROWS)
    return {
        "x": x,
        "y": x + rng.normal(size=ROWS),
        "sign": np.where(x > 0, "plus", "minus"),
        "count": rng.poisson(200, size=ROWS),
        "gap": np.where(rng.random(ROWS) < 0.2, np.nan, x + rng.normal(size=ROWS)),
        "zeros": np.where(rng.random(ROWS) < 0.3, 0.0, rng.exponential(size=ROWS)),
    }


@pytest.fixture(scope="module")
def mixed() -> FlowDensity:
    return FlowDensity(max_steps=40, architectures=()).fit(mixed_table())


def test_a_fit_is_the_same_for_weights_and_for_repeated_rows_in_any_order() -> None:
    table = mixed_table()
    rng = np.random.default_rng(1)
    weights = rng.integers(0, 3, size=ROWS)
    repeated = rng.permutation(np.repeat(np.arange(ROWS), weights))
    model = FlowDensity(max_steps=10, architectures=())
    by_weight = model.fit(table, sample_weight=weights).score_samples(table)
    by_repetition = model.fit({name: v[repeated] for name, v in table.items()}).score_samples(table)
    assert np.array_equal(by_weight, by_repetition)


def test_equal_fits_are_equal_bit_for_bit() -> None:
    table = mixed_table()
    first, second = (FlowDensity(max_steps=10).fit(table).score_samples(table) for _ in range(2))
    assert np.array_equal(first, second)


def test_a_given_integer_is_at_another_place_of_its_cell_in_each_draw() -> None:
    rng = np.random.default_rng(5)
    whole = rng.integers(0, 50, size=ROWS)
    table = {"n": whole, "x": whole + rng.uniform(-0.5, 0.5, size=ROWS)}
    model = FlowDensity(max_steps=5, architectures=()).fit(table)
    copies = encode_given(model.plan_, {"n": [10, 40]}, torch.Generator().manual_seed(0), copies=100)
    assert len(np.unique(copies.values[:, 0].numpy())) == 200
    means = [model.sample(100, given={"n": 10}, random_state=seed)["x"].mean() for seed in range(8)]
    assert np.std(means) < 0.12
    levels = [model.quantiles("x", [0.5], given={"n": 10}, draws=500, random_state=seed) for seed in range(8)]
    assert np.std(levels) < 0.12


def test_answers_given_a_coarse_integer_agree_with_the_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    # A score averages over few places within the cell, draws over many.
    monkeypatch.setattr("pushforward.estimators.scoring._PLACES", 100)
    x = np.random.default_rng(3).normal(2, 1.2, ROWS)
    model = FlowDensity(max_steps=5, architectures=()).fit({"n": np.floor(np.exp(x)).astype(int), "x": x})
    grid, levels = np.linspace(-6, 8, 1401), [0.1, 0.5, 0.9]
    density = np.exp(model.score_samples({"n": np.zeros(1401, dtype=int), "x": grid}))
    exact = grid[np.searchsorted(density.cumsum() / density.sum(), levels)]
    np.testing.assert_allclose(model.quantiles("x", levels, given={"n": 0}), exact, atol=0.06)
    filled = model.impute({"n": [0], "x": [np.nan]}, draws=500)
    np.testing.assert_allclose(np.quantile([table["x"][0] for table in filled], levels), exact, atol=0.15)


def test_the_score_of_several_integers_is_that_of_their_cell() -> None:
    rng = np.random.default_rng(6)
    shared = rng.normal(size=(ROWS, 1))
    counts = np.round(15 + 6 * (shared + 0.15 * rng.normal(size=(ROWS, 6)))).clip(0).astype(int)
    table = {f"n{place}": counts[:, place] for place in range(6)}
    model = FlowDensity(max_steps=5, architectures=(), kinds=dict.fromkeys(table, "integer")).fit(table)
    some = {name: column[:50] for name, column in table.items()}
    generator = torch.Generator().manual_seed(0)
    drawn = joined([model.plan_.encode(some, generator=generator) for _ in range(1000)])
    cells = (model.model_.log_prob(drawn).total + drawn.jacobian()).reshape(1000, 50).logsumexp(0) - np.log(1000)
    assert np.abs(model.score_samples(some) - cells.numpy()).mean() < 0.04


def test_the_score_is_a_log_density_in_the_units_of_the_table(mixed: FlowDensity) -> None:
    x = np.random.default_rng(0).normal(size=(300, 1))
    scores = [FlowDensity(max_steps=10, architectures=()).fit(scale * x).score(scale * x) for scale in (1.0, 1000.0)]
    assert scores[0] - scores[1] == pytest.approx(np.log(1000), abs=0.02)
    grid = np.linspace(-8, 8, 2001)[:, None]
    density = np.exp(FlowDensity(max_steps=10, architectures=()).fit(x).score_samples(grid))
    assert density.sum() * 0.008 == pytest.approx(1.0, abs=1e-3)
    parts = mixed.score_parts(mixed_table())
    assert np.allclose(parts.discrete + parts.continuous, mixed.score_samples(mixed_table()))


def test_probabilities_of_integers_add_up_to_one() -> None:
    counts = np.random.default_rng(0).poisson(200, size=(ROWS, 1))
    model = FlowDensity(max_steps=10, architectures=()).fit(counts)
    assert np.exp(model.score_samples(np.arange(1, 600)[:, None])).sum() == pytest.approx(1.0, abs=1e-2)
    around_50 = np.abs(np.rint(np.random.default_rng(1).normal(50, 25, (ROWS, 1))))
    atom = np.where(counts % 3 == 0, 50, around_50)
    model = FlowDensity(max_steps=10, architectures=()).fit(atom)
    assert model.plan_.modelled[0].atoms == (50.0,)
    assert np.exp(model.score_samples(np.arange(-200, 800.0)[:, None])).sum() == pytest.approx(1.0, abs=5e-3)
    hours = FlowDensity(max_steps=10, architectures=(), kinds={"x0": "period:0:24"}).fit(counts % 24)
    assert np.exp(hours.score_samples(np.arange(24)[:, None])).sum() == pytest.approx(1.0, abs=5e-3)


def test_a_row_that_cannot_be_scores_minus_infinity(mixed: FlowDensity) -> None:
    row = {name: values[:2] for name, values in mixed_table().items()}
    row["sign"] = np.array(["plus", "none"])
    scores = mixed.score_samples(row)
    assert np.isfinite(scores[0])
    assert scores[1] == -np.inf


def test_absent_columns_are_integrated_out_on_request(mixed: FlowDensity) -> None:
    with pytest.raises(DataError, match="lacks the columns y"):
        mixed.score_samples({"x": [0.0]})
    scores = mixed.score_samples({"x": np.array([0.0, 6.0])}, marginal=True)
    assert scores[0] == pytest.approx(-0.92, abs=0.5)
    assert scores[1] < -8


def test_misspelt_names_and_labels_are_refused_with_the_nearest_one(mixed: FlowDensity) -> None:
    with pytest.raises(OptionError, match="no column 'contu' in the density; did you mean count"):
        mixed.score_samples({"x": [0.0], "contu": [3]}, marginal=True)
    for event in ("sign == 'puls'", "'puls' != sign", "sign in ('minus', 'puls')"):
        with pytest.raises(OptionError, match="column 'sign' has no label 'puls'; did you mean plus"):
            mixed.probability(event, draws=10)
    assert mixed.probability("sign in ('minus', 'plus')", draws=10).value == pytest.approx(1.0)
    for table in (mixed_table(), {"x": mixed_table()["x"]}):
        with pytest.raises(OptionError, match="flow 'nsf_ra' is not known; did you mean nsf_ar"):
            FlowDensity(max_steps=5, architectures=("nsf_ra",)).fit(table)


def test_samples_have_the_types_labels_and_atoms_of_the_table(mixed: FlowDensity) -> None:
    drawn = mixed.sample(500)
    assert list(drawn) == list(mixed_table())
    assert set(drawn["sign"]) == {"plus", "minus"}
    assert drawn["count"].dtype == np.int64
    assert (drawn["zeros"] >= 0).all()
    assert (drawn["zeros"] == 0).mean() == pytest.approx(0.3, abs=0.1)
    assert np.isnan(drawn["gap"]).mean() == pytest.approx(0.2, abs=0.1)


def test_tables_come_back_as_they_were_given() -> None:
    table = pyarrow.table({"a": np.random.default_rng(0).normal(size=60), "b": ["u", "v", "w"] * 20})
    model = FlowDensity(max_steps=5, architectures=()).fit(table)
    assert model.sample(3).schema == table.schema
    assert list(model.feature_names_in_) == ["a", "b"]
    matrix = np.random.default_rng(0).normal(size=(60, 2))
    assert FlowDensity(max_steps=5, architectures=()).fit(matrix).sample(3).shape == (3, 2)


def test_what_is_given_holds_in_every_sample(mixed: FlowDensity) -> None:
    drawn = mixed.sample(50, given={"sign": "plus", "count": 210})
    assert (drawn["sign"] == "plus").all()
    assert (drawn["count"] == 210).all()
    assert (drawn["x"] > 0).mean() > 0.75
    rows = mixed.sample(3, given={"x": np.array([0.0, 2.0])})
    assert rows["x"].tolist() == [0.0] * 3 + [2.0] * 3


def test_answers_about_normal_columns_agree_with_the_closed_form(mixed: FlowDensity) -> None:
    probability = mixed.probability("y > 1 and sign == 'plus'")
    assert probability.value == pytest.approx(0.2135, abs=4 * probability.error + 0.05)
    low, middle, high = mixed.quantiles("y", [0.1, 0.5, 0.9], given={"x": 1.0})
    assert middle == pytest.approx(1.0, abs=0.4)
    assert high - low == pytest.approx(2.56, abs=0.7)
    below = mixed.cdf({"y": [0.0, 1.0, 5.0]}, given={"x": 1.0})
    assert below == pytest.approx([0.16, 0.5, 1.0], abs=0.15)


def test_points_of_several_lengths_are_refused_in_a_sentence(mixed: FlowDensity) -> None:
    with pytest.raises(ShapeError, match=r"got shapes \(2,\) for 'x', \(3,\) for 'y'"):
        mixed.cdf({"x": [1, 2], "y": [1, 2, 3], "gap": 0.0}, draws=10)
    assert mixed.cdf({"x": [1, 2], "gap": 0.0}, draws=10).shape == (2,)


def test_an_event_that_no_draw_shows_has_an_error(mixed: FlowDensity) -> None:
    probability = mixed.probability("x > 1000", draws=500)
    assert probability.value == 0
    assert 0 < probability.error < 0.01


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sing": "plus"}, "did you mean sign"),
        ({"sign": "none"}, "column 'sign' expects one of"),
        ({}, "at least one column"),
    ],
)
def test_a_condition_that_cannot_be_is_refused(mixed: FlowDensity, given: Any, message: str) -> None:
    with pytest.raises((OptionError, DataError), match=message):
        mixed.sample(1, given=given)


def test_gaps_are_filled_given_the_rest_and_other_cells_stay(mixed: FlowDensity) -> None:
    table = mixed_table()
    gaps = np.isnan(table["gap"])
    first, second = mixed.impute(table, draws=2)
    for filled in (first, second):
        assert not np.isnan(filled["gap"]).any()
        assert np.array_equal(filled["gap"][~gaps], table["gap"][~gaps])
        assert np.array_equal(filled["x"], table["x"])
    assert not np.array_equal(first["gap"], second["gap"])
    assert np.corrcoef(first["gap"][gaps], table["x"][gaps])[0, 1] > 0.4


def test_gaps_beside_an_unseen_label_and_columns_without_any_value_are_filled(mixed: FlowDensity) -> None:
    table: dict[str, Any] = {name: list(values[:3]) for name, values in mixed_table().items()}
    table["x"][1], table["sign"][1] = None, "none"
    with pytest.warns(UnknownCellWarning, match="column 'sign', row 1: one of minus, plus expected, got none"):
        filled = mixed.impute(table)
    assert np.isfinite(filled["x"]).all()
    assert filled["sign"][1] == "none"
    for gap in (None, np.nan):
        filled = mixed.impute({**table, "sign": [gap] * 3, "count": [gap] * 3})
        assert set(filled["sign"]) <= {"plus", "minus"}
        assert filled["count"].dtype == np.int64


def test_gaps_that_an_exact_relation_determines_are_solved() -> None:
    rng = np.random.default_rng(0)
    celsius, a, b = np.round(rng.normal(15, 8, size=200), 1), rng.normal(size=200), rng.integers(0, 500, 200)
    table = {"c": celsius, "f": 1.8 * celsius + 32, "a": a, "b": b, "sum": a + b}
    model = FlowDensity(max_steps=5, architectures=()).fit(table)
    assert {column.name for column in model.plan_.left_out} == {"f", "sum"}
    gaps = {"c": [np.nan, 0.1], "f": [59.0, np.nan], "a": [0.5, np.nan], "b": [None, 7], "sum": [7.5, 7.25]}
    filled = model.impute(gaps)
    assert {name: values.tolist() for name, values in filled.items()} == {
        "c": [15.0, 0.1],
        "f": [59.0, pytest.approx(32.18)],
        "a": [0.5, 0.25],
        "b": [7, 7],
        "sum": [7.5, 7.25],
    }
    assert np.isfinite(model.score_samples(filled)).all()


def test_the_verdict_rests_on_rows_that_took_no_part_in_the_fit() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(1000, 2))
    model = FlowDensity(max_steps=5, architectures=(), held_out=0.3).fit(x)
    assert model.quality_.rows == 300
    assert model.verdict_ == model.quality_.verdict
    moons = np.stack([x[:, 0], x[:, 0] ** 2 + 0.1 * x[:, 1]], 1)
    assert str(model.assess(moons, x).verdict).startswith("fit: do not use")
    with pytest.raises(AttributeError, match="held_out"):
        _ = FlowDensity(max_steps=5, architectures=()).fit(x[:50]).verdict_
    with pytest.raises(OptionError, match="held_out"):
        FlowDensity(held_out=1.5).fit(x)


def test_partial_fits_go_on_with_the_rows_of_all_calls() -> None:
    rng = np.random.default_rng(4)
    left, right = rng.normal(-3, 1, size=(400, 1)), rng.normal(3, 1, size=(400, 1))
    model = FlowDensity(max_steps=5, architectures=())
    model.partial_fit(left)
    assert model.score(right) < -8
    model.partial_fit(right)
    both = FlowDensity(max_steps=5, architectures=()).fit(np.concatenate([left, right]))
    assert model.score(left) == pytest.approx(both.score(left), abs=0.15)
    assert model.score(right) == pytest.approx(both.score(right), abs=0.15)
    after_fit = FlowDensity(max_steps=5, architectures=()).fit(left).partial_fit(right)
    assert after_fit.score(left) == pytest.approx(both.score(left), abs=0.3)
    with pytest.raises(DataError, match="cannot be"):
        model.partial_fit(np.array([[np.nan]]))


def test_a_column_of_weights_counts_in_scores_in_the_verdict_and_in_the_threshold() -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=270), rng.normal(8, 1, size=30)])
    table = {"x": x, "w": np.where(x > 4, 9.0, 1.0)}
    options: dict[str, Any] = {"max_steps": 5, "architectures": (), "kinds": {"w": "weight"}}
    density = FlowDensity(**options).fit(table)
    scores = density.score_samples(table)
    assert density.score(table) == pytest.approx(np.average(scores, weights=table["w"]))
    assert density.score({"x": x}) == pytest.approx(scores.mean())
    # About half of the weight lies on a tenth of the rows, which leaves fewer that are independent.
    assert density.assess(table, table).rows < 200
    detector = FlowOutlierDetector(contamination=0.1, **options).fit(table)
    low = detector.predict(table) == -1
    assert np.average(low, weights=table["w"]) == pytest.approx(0.1, abs=0.02)


def test_weights_that_are_fractions_give_the_fit_of_as_many_rows() -> None:
    table = {name: column[:200] for name, column in mixed_table().items()}
    plain, scaled = (
        FlowDensity(max_steps=3, architectures=()).fit(table, sample_weight=np.full(200, weight))
        for weight in (1.0, 1 / 256)
    )
    assert scaled.score_samples(table) == pytest.approx(plain.score_samples(table), abs=1e-6)


@pytest.mark.parametrize("limits", [{"max_steps": 0}, {"max_steps": -3}, {"max_seconds": -1}, {"max_seconds": np.nan}])
def test_limits_that_no_fit_can_keep_are_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=next(iter(limits))):
        FlowDensity(architectures=(), **limits).fit(np.eye(3))
