"""`FlowOutlierDetector` and `FlowTransformer`: thresholds, typicality, and latents of tables."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pushforward.errors import OptionError, ShapeError
from pushforward.estimators import FlowOutlierDetector, FlowTransformer

X = np.random.default_rng(0).normal(size=(300, 2))


@pytest.fixture(scope="module")
def detector() -> FlowOutlierDetector:
    return FlowOutlierDetector(max_steps=10, architectures=(), contamination=0.05).fit(X)


def test_the_share_of_outliers_among_the_training_rows_is_the_contamination(detector: FlowOutlierDetector) -> None:
    assert (detector.predict(X) == -1).mean() == pytest.approx(0.05)
    assert detector.predict([[5.0, -5.0], [0.1, 0.2]]).tolist() == [-1, 1]
    assert detector.decision_function(X) == pytest.approx(detector.score_samples(X) - detector.offset_)


def test_a_row_is_atypical_where_its_density_is_very_low_or_very_high(detector: FlowOutlierDetector) -> None:
    low, high, middle = detector.typicality([[9.0, 9.0], X.mean(0), [1.2, 0.0]])
    assert low == 0
    assert high < 0.05
    assert middle > 0.3


def test_extreme_values_lower_the_score_whatever_group_of_training_rows_shares_them() -> None:
    rng = np.random.default_rng(0)
    usual, group = rng.normal(size=(380, 2)), 0.05 * rng.normal(size=(20, 2)) + 5
    rows = np.concatenate([usual, group])
    by_density = FlowOutlierDetector(max_steps=10, architectures=(), tails=0).fit(rows)
    detector = FlowOutlierDetector(max_steps=10, architectures=()).fit(rows)
    assert (by_density.predict(group) == 1).all()
    below = [(each.score_samples(usual)[:, None] < each.score_samples(group)).mean() for each in (by_density, detector)]
    assert below[0] > 0.5
    assert below[1] < 0.3
    assert by_density.score_samples(rows) == pytest.approx(by_density.density_.score_samples(rows))
    assert detector.typicality(rows) == pytest.approx(by_density.typicality(rows))


def test_the_tails_of_a_column_are_the_probability_of_a_value_at_least_as_extreme() -> None:
    x = np.exp(np.random.default_rng(0).normal(size=(600, 1)))
    detector = FlowOutlierDetector(max_steps=2, architectures=()).fit(x)
    tails = detector.score_samples(x) - detector.density_.score_samples(x)
    below = (x[:, 0].argsort().argsort() + 0.5) / len(x)
    inner = (below > 0.05) & (below < 0.95)
    assert tails[inner] == pytest.approx(np.log(2 * np.minimum(below, 1 - below))[inner], abs=0.4)
    assert tails.max() <= 0


def test_a_weight_of_tails_below_zero_is_refused() -> None:
    with pytest.raises(OptionError, match="tails"):
        FlowOutlierDetector(tails=-1).fit(X)


def test_a_contamination_that_is_no_share_is_refused() -> None:
    with pytest.raises(OptionError, match="contamination"):
        FlowOutlierDetector(contamination=0.7).fit(X)


def test_latents_of_a_table_are_standard_normals_and_lead_back() -> None:
    rng = np.random.default_rng(1)
    a = rng.exponential(size=1000)
    table = {
        "a": a,
        "b": a + rng.normal(size=1000),
        "word": np.where(rng.random(1000) < 0.3, "u", "v"),
        "n": rng.poisson(300, size=1000),
    }
    model = FlowTransformer(max_steps=250).fit(table)
    latents = model.transform(table)
    assert model.get_feature_names_out().tolist() == ["word_state", "a", "b", "n"]
    assert abs(latents[:, 1:].mean(0)).max() < 0.15
    assert latents[:, 1:].std(0) == pytest.approx(1.0, abs=0.15)
    back = model.inverse_transform(latents)
    for name, column in table.items():
        if column.dtype.kind == "f":
            assert back[name] == pytest.approx(column, rel=1e-6, abs=1e-9)
        else:
            assert np.array_equal(back[name], column)
    with pytest.raises(ShapeError, match=r"\(N, 4\)"):
        model.inverse_transform(latents[:, :2])


def test_estimators_work_in_pipelines_and_as_clones() -> None:
    pipeline = make_pipeline(StandardScaler(), FlowTransformer(max_steps=5))
    assert clone(pipeline).fit(X).transform(X).shape == (300, 2)
    names = pipeline.fit(X).get_feature_names_out()
    assert names.tolist() == ["x0", "x1"]
