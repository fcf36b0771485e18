"""Fits of files larger than memory: a random part of the rows, and a plan that holds for all of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.csv
import pyarrow.dataset
import pyarrow.parquet
import pytest

from pushforward import FlowDensity, FlowRegressor
from pushforward.data.row_sources import open_source
from pushforward.errors import ColumnWarning, DataError, OptionError, ReducedFitWarning
from pushforward.estimators.columns.plan import ColumnPlan
from pushforward.estimators.file_samples import draw_sample, read_sample

ROWS, MOST = 30_000, 2_000


def table_of_rare_contents() -> Any:
    """A table in which a random part of the rows misses a label, a gap, an infinity, a time of day and extremes."""
    rng = np.random.default_rng(0)
    words = rng.choice(["a", "b"], ROWS).astype(object)
    words[20_001] = "rare"
    real, share, count = rng.normal(size=ROWS), rng.uniform(0.001, 0.999, ROWS), rng.integers(0, 9, ROWS)
    real[20_002], real[20_003], share[20_004], count[20_005] = 1e9, np.inf, -0.5, 11
    day = np.datetime_as_string(np.datetime64("2024-01-01") + rng.integers(0, 30, ROWS)).astype(object)
    day[20_006] = "2024-05-05T12:30:00"
    gap = rng.normal(size=ROWS)
    gap[20_007] = np.nan
    constant = np.full(ROWS, 7)
    constant[20_008] = 8
    columns = {"word": words, "real": real, "share": share, "count": count, "day": day, "gap": gap}
    return pyarrow.table(
        {
            **{name: pyarrow.array(values, from_pandas=True) for name, values in columns.items()},
            "constant": constant,
            "twin": count + (np.arange(ROWS) == 20_009),
            "number": np.arange(ROWS) + 5,
        }
    )


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "t.parquet"
    pyarrow.parquet.write_table(table_of_rare_contents(), path, row_group_size=7_000)
    return path


def test_the_plan_of_a_sample_holds_for_all_rows(parquet: Path) -> None:
    sample = read_sample(open_source(parquet), lambda table: [ColumnPlan.guess(table)], MOST, 0)
    plan, table = ColumnPlan.guess(sample.counted()), table_of_rare_contents()
    assert not plan.encode(table, places=plan.middles).impossible.any()
    assert MOST < len(sample.places) < MOST + 40
    assert set(range(20_001, 20_010)) <= set(sample.places.tolist())
    assert sample.table.equals(table.take(sample.places))
    assert [column.kind.label for column in plan.left_out] == ["index"]
    assert plan.columns[-1].kind.restore(2, {}, pyarrow.int64()).to_pylist() == [5, 6]
    # A row taken for its content stands for itself, each of the others for as many as there are to one drawn.
    weights = sample.weights
    assert weights is not None
    certain = int(sample.certain.sum())
    assert weights[sample.certain] == pytest.approx(MOST / (ROWS - certain))
    assert (weights[~sample.certain] == 1).all()


def test_rows_are_drawn_with_equal_chances(parquet: Path) -> None:
    places = np.concatenate([draw_sample(open_source(parquet), ["word"], MOST, seed).places for seed in range(20)])
    counts, _ = np.histogram(places, bins=10, range=(0, ROWS))
    assert np.abs(counts - 4_000).max() < 4 * np.sqrt(4_000)


def test_a_density_of_a_large_file_has_every_content_and_tells_the_rows_it_leaves_out(parquet: Path) -> None:
    model = FlowDensity(max_steps=3, architectures=())
    told = pytest.warns(ColumnWarning, match="infinite")
    with told, pytest.warns(ReducedFitWarning, match=r"29,[67]\d\d of 30,000 rows take no part"):
        model.fit(parquet, max_rows=300)
    assert any("take no part" in note for note in model.model_.notes)
    assert model.plan_.rows == ROWS
    table = table_of_rare_contents()
    assert np.isfinite(model.score_samples(table.slice(20_000, 20))).all()
    assert model.sample(3).schema.names == table.schema.names


def test_all_rows_of_a_small_file_are_fitted_as_a_table_is(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = pyarrow.table({"x": rng.normal(size=200), "word": ["a", "b"] * 100})
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    (tmp_path / "parts").mkdir()
    for part in range(2):
        pyarrow.csv.write_csv(table.slice(100 * part, 100), tmp_path / "parts" / f"{part}.csv")
    expected = FlowDensity(max_steps=3, architectures=()).fit(table).score_samples(table)
    for source in (
        tmp_path / "t.parquet",
        str(tmp_path / "parts"),
        pyarrow.dataset.dataset(tmp_path / "t.parquet"),
    ):
        model = FlowDensity(max_steps=3, architectures=()).fit(source)
        assert model.score_samples(table) == pytest.approx(expected), source


def test_a_file_that_cannot_be_fitted_is_refused_in_a_sentence(parquet: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        FlowDensity().fit(tmp_path / "nowhere.parquet")
    with pytest.raises(OptionError, match="the weights of a file are one of its columns"):
        FlowDensity().fit(parquet, sample_weight=np.ones(ROWS))
    with pytest.raises(OptionError, match="max_rows: a number of rows of 1 or above"):
        FlowDensity().fit(parquet, max_rows=0)


def test_files_folders_and_iterators_of_tables_are_scored_in_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    table = pyarrow.table({"x": rng.normal(size=60), "word": ["a", "b"] * 30})
    model = FlowDensity(max_steps=1, architectures=()).fit(table)
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    monkeypatch.setattr("pushforward.estimators.input_tables._BLOCK", 25)
    expected = model.score_samples(table)
    assert model.score_samples(tmp_path / "t.parquet") == pytest.approx(expected, abs=1e-9)
    assert model.score_samples(iter([table.slice(0, 10), table.slice(10)])) == pytest.approx(expected, abs=1e-9)
    assert [len(block) for block in model.score_blocks(tmp_path)] == [25, 25, 10]
    other = tmp_path / "other.csv"
    other.write_text("z\n1\n")
    with pytest.raises(DataError, match="the table has none of the columns x, word"):
        model.score_samples(other)


def test_columns_of_every_type_are_sampled(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    whole = rng.integers(0, 1_000, 90)
    labels = [pyarrow.array([f"{part}", "b", "c"] * 10).dictionary_encode() for part in range(3)]
    table = pyarrow.table(
        {
            "label": pyarrow.chunked_array(labels),
            "wait": pyarrow.array(whole, pyarrow.duration("s")),
            "day": pyarrow.array(whole.astype(np.int32)).cast(pyarrow.date32()),
            "price": pyarrow.array(whole.astype(np.float64)).cast(pyarrow.decimal128(12, 2)),
            "half": rng.normal(size=90).astype(np.float16),
            "list": [[1, 2]] * 90,
            "none": pyarrow.nulls(90),
        }
    )
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet", row_group_size=30)
    sample = read_sample(open_source(tmp_path / "t.parquet"), lambda rows: [ColumnPlan.guess(rows)], 40, 0)
    plan = ColumnPlan.guess(sample.counted())
    assert plan.names == ("label", "wait", "day", "price", "half")
    assert not plan.encode(table, places=plan.middles).impossible.any()


def test_errors_and_remarks_name_the_file(tmp_path: Path) -> None:
    empty, typo = tmp_path / "empty.csv", tmp_path / "typo.csv"
    empty.write_text("x,y\n")
    with pytest.raises(DataError, match=r"empty.csv: the table has no rows"):
        FlowDensity().fit(empty)
    typo.write_text("x,y\n" + "".join(f"{i % 7 / 7},{i}\n" for i in range(40)) + "1.5O,2\n")
    with pytest.warns(ColumnWarning, match="typo.csv: column 'x' is read as text, because of '1.5O' in row 41"):
        FlowDensity(max_steps=1, architectures=(), kinds={"x": "category"}).fit(typo)


def test_tables_in_memory_are_limited_as_files_are() -> None:
    table = table_of_rare_contents()
    model = FlowDensity(max_steps=3, architectures=())
    told = pytest.warns(ColumnWarning, match="infinite")
    with told, pytest.warns(ReducedFitWarning, match=r"29,[67]\d\d of 30,000 rows take no part"):
        model.fit(table, sample_weight=np.full(ROWS, 2.0), max_rows=300)
    assert any("take no part" in note for note in model.model_.notes)
    assert model.plan_.rows == ROWS
    assert np.isfinite(model.score_samples(table.slice(20_000, 20))).all()
    assert model.sample(3).schema.names == table.schema.names


def test_arrays_and_targets_are_limited_too() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 2))
    X[400] = 50.0
    with pytest.warns(ReducedFitWarning, match="4[0-9][0-9] of 500 rows take no part"):
        density = FlowDensity(max_steps=2, architectures=()).fit(X, max_rows=50)
    assert density.sample(2).shape == (2, 2)
    with pytest.warns(ReducedFitWarning, match="4[0-9][0-9] of 500 rows take no part"):
        model = FlowRegressor(max_steps=2).fit(X, 3 * X[:, 0], max_rows=50)
    assert np.isfinite(model.log_density(X[395:405], 3 * X[395:405, 0])).all()
    for estimator, rest in ((FlowDensity(), ()), (FlowRegressor(), (X[:, 0],))):
        with pytest.raises(OptionError, match="max_rows: a number of rows of 1 or above"):
            estimator.fit(X, *rest, max_rows=0)
