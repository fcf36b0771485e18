"""Saved estimators: what is loaded answers as the estimator that was saved, and other folders are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow
import pytest

import pushforward
from pushforward import estimators, storage
from pushforward.errors import ModelError, OptionError
from pushforward.estimators import FlowDensity, FlowOutlierDetector, FlowRegressor, FlowTransformer
from pushforward.estimators.ranks import Ranks


@pytest.fixture(scope="module")
def table() -> pyarrow.Table:
    rng = np.random.default_rng(0)
    x = rng.normal(size=200)
    x[::20] = np.nan
    words = np.where(rng.random(200) < 0.3, "plus", "minus")
    income = np.exp(rng.normal(size=200))
    return pyarrow.table({"x": x, "y": income, "kids": rng.integers(0, 4, 200), "sign": words})


@pytest.fixture(scope="module")
def density(table: pyarrow.Table) -> FlowDensity:
    return FlowDensity(max_steps=5, kinds={"y": "positive"}).fit(table)


@pytest.fixture(scope="module")
def regressor(table: pyarrow.Table) -> FlowRegressor:
    return FlowRegressor(max_steps=5).fit(table.select(["x", "sign"]), table.select(["y", "kids"]))


def test_a_loaded_density_scores_and_samples_alike(density: FlowDensity, table: pyarrow.Table, tmp_path: Path) -> None:
    density.save(tmp_path / "m")
    again = FlowDensity.load(tmp_path / "m")
    assert again.get_params() == density.get_params()
    assert again.n_features_in_ == 4
    assert again.feature_names_in_.tolist() == table.column_names
    np.testing.assert_array_equal(again.score_samples(table), density.score_samples(table))
    assert again.sample(20, random_state=1) == density.sample(20, random_state=1)


def test_a_loaded_density_of_an_array_gives_arrays(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(60, 2))
    density = FlowDensity(max_steps=2, architectures=(), random_state=np.random.RandomState(3)).fit(x)
    density.save(tmp_path / "m")
    again = FlowDensity.load(tmp_path / "m")
    assert again.sample(3).shape == (3, 2)
    assert again.random_state is None
    assert again.architectures == ()


def test_a_loaded_regressor_predicts_alike(regressor: FlowRegressor, table: pyarrow.Table, tmp_path: Path) -> None:
    regressor.save(tmp_path / "m")
    again = FlowRegressor.load(tmp_path / "m")
    X, y = table.select(["x", "sign"]), table.select(["y", "kids"])
    np.testing.assert_array_equal(again.predict(X), regressor.predict(X))
    np.testing.assert_array_equal(again.predict_quantiles(X), regressor.predict_quantiles(X))
    np.testing.assert_array_equal(again.log_density(X, y), regressor.log_density(X, y))


def test_a_loaded_detector_has_the_threshold_and_the_typicality_of_its_fit(
    table: pyarrow.Table, tmp_path: Path
) -> None:
    detector = FlowOutlierDetector(max_steps=2, architectures=(), contamination=0.2, held_out=0.1).fit(table)
    detector.save(tmp_path / "m")
    again = estimators.load(tmp_path / "m")
    assert isinstance(again, FlowOutlierDetector)
    assert again.get_params() == detector.get_params()
    assert again.offset_ == detector.offset_
    assert again.feature_names_in_.tolist() == table.column_names
    assert str(again.verdict_) == str(detector.verdict_)
    np.testing.assert_array_equal(again.predict(table), detector.predict(table))
    np.testing.assert_array_equal(again.typicality(table), detector.typicality(table))


def test_a_loaded_transformer_gives_the_same_latents_and_rows(table: pyarrow.Table, tmp_path: Path) -> None:
    transformer = FlowTransformer(max_steps=2).fit(table)
    transformer.save(tmp_path / "m")
    again = estimators.load(tmp_path / "m")
    assert isinstance(again, FlowTransformer)
    assert again.get_params() == transformer.get_params()
    latents = transformer.transform(table)
    np.testing.assert_array_equal(again.transform(table), latents)
    assert again.inverse_transform(latents) == transformer.inverse_transform(latents)


def test_any_estimator_is_loaded_by_its_own_class(
    density: FlowDensity, regressor: FlowRegressor, tmp_path: Path
) -> None:
    density.save(tmp_path / "density")
    regressor.save(tmp_path / "regressor")
    assert isinstance(estimators.load(tmp_path / "density"), FlowDensity)
    assert isinstance(estimators.load(tmp_path / "regressor"), FlowRegressor)
    with pytest.raises(ModelError):
        estimators.load(tmp_path)


def test_scores_of_a_detector_that_are_none_are_refused(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(40, 2))
    detector = FlowOutlierDetector(max_steps=2, architectures=()).fit(x)
    detector._scores = Ranks(detector._scores.scores[::-1].copy(), detector._scores.levels)
    detector.save(tmp_path / "m")
    with pytest.raises(ModelError, match=r"scores.safetensors: .* ascending order"):
        FlowOutlierDetector.load(tmp_path / "m")
    (tmp_path / "m" / "scores.safetensors").unlink()
    with pytest.raises(ModelError, match=r"scores.safetensors"):
        FlowOutlierDetector.load(tmp_path / "m")


def test_folders_of_another_kind_are_refused_by_name(density: FlowDensity, tmp_path: Path) -> None:
    density.save(tmp_path / "table")
    with pytest.raises(ModelError, match=r"FlowDensity, not a flow: pushforward.FlowDensity.load loads it"):
        pushforward.load(tmp_path / "table")
    with pytest.raises(ModelError, match=r"holds a FlowDensity, not a FlowRegressor"):
        FlowRegressor.load(tmp_path / "table")
    with pytest.raises(OptionError, match="not empty"):
        density.save(tmp_path / "table")
    density.save(tmp_path / "table", force=True)
    flow = pushforward.flows.build("nice", event_shape=(2,), hidden=(8,))
    pushforward.save(flow, tmp_path / "flow")
    with pytest.raises(ModelError, match=r"holds a flow"):
        FlowDensity.load(tmp_path / "flow")


def test_a_changed_estimator_file_is_refused(density: FlowDensity, tmp_path: Path) -> None:
    density.save(tmp_path / "m")
    file = tmp_path / "m" / "estimator.json"
    file.write_bytes(file.read_bytes().replace(b"plus", b"also"))
    with pytest.raises(ModelError, match=r"estimator.json was changed"):
        FlowDensity.load(tmp_path / "m")


def test_a_loaded_estimator_has_the_verdict_of_its_fit(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(300, 2))
    density = FlowDensity(max_steps=2, architectures=(), held_out=0.3).fit(x)
    density.save(tmp_path / "m")
    again = FlowDensity.load(tmp_path / "m")
    assert str(again.verdict_) == str(density.verdict_)
    assert again.quality_.rows == density.quality_.rows == 90
    for found, expected in zip(again.quality_.findings, density.quality_.findings, strict=True):
        assert (found.measure, found.refuse) == (expected.measure, expected.refuse)
        assert found.p_value == pytest.approx(expected.p_value)


def test_partial_fits_go_on_after_loading(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    parts = [pyarrow.table({"x": rng.normal(at, 1, 60), "word": ["a", "b"] * 30}) for at in (-3, 3)]
    density = FlowDensity(max_steps=3, architectures=()).partial_fit(parts[0])
    density.save(tmp_path / "m")
    again = FlowDensity.load(tmp_path / "m")
    expected = density.partial_fit(parts[1]).score_samples(parts[0])
    np.testing.assert_array_equal(again.partial_fit(parts[1]).score_samples(parts[0]), expected)
    FlowDensity(max_steps=1, architectures=()).fit(parts[0]).save(tmp_path / "m", force=True)
    assert not (tmp_path / "m" / "rows.safetensors").exists()
    assert FlowDensity.load(tmp_path / "m")._memory is None


def test_remembered_rows_of_other_columns_are_refused(tmp_path: Path) -> None:
    for width in (1, 2):
        x = np.random.default_rng(0).normal(size=(30, width))
        FlowDensity(max_steps=1, architectures=()).partial_fit(x).save(tmp_path / str(width))
    storage.add_file(tmp_path / "2", "rows.safetensors", (tmp_path / "1" / "rows.safetensors").read_bytes())
    with pytest.raises(ModelError, match="rows of 2 columns with a weight for each expected"):
        FlowDensity.load(tmp_path / "2")
