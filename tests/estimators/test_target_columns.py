"""Targets by name: columns of a table or of a file that a regressor predicts from the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from pyarrow import csv

from pushforward.errors import DataError, OptionError, ReducedFitWarning
from pushforward.estimators import FlowDensity, FlowRegressor

RNG = np.random.default_rng(0)
X = RNG.normal(size=300)
TABLE = pyarrow.table(
    {"x": X, "word": RNG.choice(["u", "v"], 300), "price": 3 * X + RNG.normal(size=300), "cost": X + 1.5}
)
PRICE = TABLE.column("price").to_numpy()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    csv.write_csv(TABLE, tmp_path / "table.csv")
    return tmp_path / "table.csv"


def test_a_target_by_name_is_the_column_itself(path: Path) -> None:
    features = TABLE.drop_columns(["price"])
    by_values = FlowRegressor(max_steps=10).fit(features, PRICE)
    assert by_values.target_plan_.names == ("y",)
    for table in (TABLE, dict(zip(TABLE.column_names, TABLE.columns, strict=True)), path, str(path)):
        model = FlowRegressor(max_steps=10).fit(table, "price")
        assert model.target_plan_.names == ("price",)
        assert model.feature_names_in_.tolist() == ["x", "word", "cost"]
        np.testing.assert_allclose(model.predict(features), by_values.predict(features), atol=1e-6)
        np.testing.assert_array_equal(model.predict(TABLE), model.predict(features))
        expected = by_values.log_density(features, PRICE)
        np.testing.assert_allclose(model.log_density(features, PRICE), expected, atol=1e-6)
        np.testing.assert_allclose(model.log_density(TABLE, "price"), expected, atol=1e-6)
        assert model.score(TABLE, "price") == pytest.approx(by_values.score(features, PRICE))


def test_several_targets_of_a_file_keep_their_names(path: Path) -> None:
    model = FlowRegressor(max_steps=5, kinds={"cost": "real"}).fit(path, ["price", "cost"])
    assert model.target_plan_.names == ("price", "cost")
    assert model.predict(TABLE.select(["x", "word"]).slice(0, 4)).shape == (4, 2)
    alone = FlowRegressor(max_steps=5).fit(path, ["price"])
    assert alone.predict(TABLE.slice(0, 4)).shape == (4, 1)


def test_a_part_of_a_file_is_fitted_and_the_rest_is_told(path: Path) -> None:
    with pytest.warns(ReducedFitWarning, match="of 300 rows take no part"):
        model = FlowRegressor(max_steps=5).fit(path, "price", max_rows=100)
    assert any("take no part" in note for note in model.model_.notes)
    assert np.isfinite(model.log_density(TABLE, "price")).all()


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ("prise", "no column 'prise'; did you mean price"),
        (["price", "nothing"], "no column 'nothing'"),
        (["x", "word", "price", "cost"], "no columns are left to predict x, word, price, cost from"),
        ("word", "y, column 'word': a number in each row expected, got string"),
    ],
)
def test_names_that_cannot_be_targets_are_refused(path: Path, y: Any, message: str) -> None:
    for table in (TABLE, path):
        with pytest.raises((OptionError, DataError), match=message):
            FlowRegressor(max_steps=5).fit(table, y)


def test_a_file_needs_names_and_its_weights_are_a_column(path: Path) -> None:
    for y in (None, PRICE):
        with pytest.raises(OptionError, match="y: the name of a column of the file expected"):
            FlowRegressor(max_steps=5).fit(path, y)
    with pytest.raises(OptionError, match="the weights of a file are one of its columns"):
        FlowRegressor(max_steps=5).fit(path, "price", sample_weight=np.ones(300))


@pytest.mark.parametrize("kinds", [None, {"cost": "weight"}])
def test_the_score_of_a_file_is_that_of_its_table(path: Path, kinds: dict[str, str] | None) -> None:
    table = TABLE.set_column(3, "cost", pyarrow.array(np.arange(300) % 3))
    csv.write_csv(table, path)
    density = FlowDensity(max_steps=5, architectures=(), kinds=kinds).fit(table)
    assert density.score(path) == pytest.approx(density.score(table), abs=1e-9)
    assert density.score(iter([table.slice(0, 100), table.slice(100)])) == pytest.approx(density.score(table))


def test_several_targets_of_new_rows_are_told_apart_by_name() -> None:
    model = FlowRegressor(max_steps=5, kinds={"cost": "real"}).fit(TABLE, ["price", "cost"])
    expected = model.score(TABLE, ["price", "cost"])
    assert model.score(TABLE, ["cost", "price"]) == expected
    assert model.score(TABLE.select(["x", "word"]), TABLE.select(["cost", "price"])) == expected
    with pytest.raises(DataError, match="no column 'cost'; the targets are price, cost"):
        model.score(TABLE, ["price"])


def test_a_name_needs_columns_with_names() -> None:
    with pytest.raises(OptionError, match="the name 'price' needs columns with names"):
        FlowRegressor(max_steps=5).fit(np.stack([X, PRICE], 1), "price")
