"""DataFrames of other libraries, where they are installed: the same library, names and types come back."""

import numpy as np
import pytest

from pushforward.estimators.columns.plan import ColumnPlan

RNG = np.random.default_rng(0)
N = 200


def test_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    gap = RNG.uniform(size=N) < 0.1
    frame = pandas.DataFrame(
        {
            "x": RNG.normal(size=N),
            "i": RNG.integers(0, 1000, N).astype("int32"),
            "category": pandas.Categorical(RNG.choice(["u", "v"], N)),
            "moment": pandas.Timestamp("2020-01-01", tz="UTC") + pandas.to_timedelta(RNG.integers(0, 300, N), unit="D"),
            "whole": pandas.array(np.where(gap, None, RNG.integers(0, 4, N)), dtype="Int64"),
            "truth": pandas.array(np.where(gap, None, RNG.uniform(size=N) < 0.5), dtype="boolean"),
            "one": 7,
        },
        index=np.arange(N) + 55,
    )
    plan = ColumnPlan.guess(frame)
    back = plan.decode(plan.encode(frame))
    assert back.dtypes.to_dict() == frame.dtypes.to_dict()
    assert not back.isna().ne(frame.reset_index(drop=True).isna()).any().any()
    numbered = pandas.DataFrame(RNG.normal(size=(N, 3)))
    plan = ColumnPlan.guess(numbered)
    assert list(plan.decode(plan.encode(numbered)).columns) == [0, 1, 2]


def test_polars() -> None:
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"x": RNG.normal(size=N), "word": RNG.choice(["a", "b"], N)}).with_columns(
        polars.col("word").cast(polars.Categorical).alias("category"),
        polars.duration(hours=polars.Series(RNG.integers(0, 500, N))).alias("duration"),
        polars.Series(RNG.integers(0, 500, N)).cast(polars.UInt16).alias("small"),
    )
    plan = ColumnPlan.guess(frame)
    back = plan.decode(plan.encode(frame))
    assert back.schema == frame.schema
    assert back.drop("x").equals(frame.drop("x"))
    assert ColumnPlan.guess(frame.lazy()) == plan
