"""Tables with mistakes in them: a fit says what looks wrong, and gives back what it was given."""

import datetime
import decimal
import warnings
from typing import Any

import numpy as np
import pyarrow
import pytest

from pushforward.errors import ColumnWarning, DataError
from pushforward.estimators import FlowDensity, FlowRegressor
from pushforward.estimators.columns.plan import ColumnPlan

RNG = np.random.default_rng(0)
N = 120
X = RNG.normal(size=N)

# A column, and the remark about it.
REMARKS: dict[str, tuple[Any, str]] = {
    "infinities": (np.where(X > 1.5, np.inf, X), "rows are infinite, which gets a probability of its own"),
    "one infinity": (np.append(X[1:], -np.inf), "1 row is infinite"),
    "one wild value": (np.append(X[1:], 1e9), r"the value 1e\+09 is 1e\+09 deviations from the median"),
    "a typo": ([*map(str, X[1:]), "1.5O"], "the text holds numbers, but for '1.5O' in 1 row"),
    "dashes for gaps": ([*map(str, X[9:]), *"-" * 9], "but for 9 rows such as '-'"),
    "numbers in text": ([f"{value:.1f}" for value in X], "the text holds numbers; give the column as numbers"),
    "days first": ([f"{1 + i % 28:02}.{1 + i % 12:02}.2021" for i in range(len(X))], "looks like dates, such as '"),
    "days first with a time": (
        [f"{1 + i % 28}/{1 + i % 12}/21 09:30" for i in range(len(X))],
        "write them as YYYY-MM-DD",
    ),
    "decimal commas": ([f"{value:.3f}".replace(".", ",") for value in X], "looks like numbers, such as '"),
    "percent signs": ([f"{value:.0f}%" for value in 9 * X], "looks like numbers, such as '"),
    "currency": ([f"${value:.2f}" for value in X**2], r"looks like numbers, such as '\$"),
}


@pytest.mark.parametrize("name", REMARKS)
def test_a_remark_says_what_may_be_a_mistake(name: str) -> None:
    column, remark = REMARKS[name]
    plan = ColumnPlan.guess({"x": column, "y": X**3})
    assert len(plan.remarks) == 1
    with pytest.raises(AssertionError, match=remark):
        raise AssertionError(plan.remarks[0])
    assert ColumnPlan.from_json(plan.to_json()) == plan


def test_ordinary_columns_have_no_remark() -> None:
    words = RNG.choice(["a", "b2", "3rd street", "2024-01-01"], N).tolist()
    heavy = RNG.standard_t(2, N)
    assert not ColumnPlan.guess({"x": X, "heavy": heavy, "words": words, "n": RNG.poisson(9, N)}).remarks


def test_fits_warn_of_columns_that_may_be_mistaken() -> None:
    table = pyarrow.table({"x": REMARKS["infinities"][0], "y": X + RNG.normal(size=N)})
    with pytest.warns(ColumnWarning, match="column 'x': .* rows are infinite"):
        FlowDensity(max_steps=2, architectures=()).fit(table)
    with pytest.warns(ColumnWarning, match="column 'x': .* rows are infinite"):
        FlowRegressor(max_steps=2).fit(table.select(["x"]), table["y"].to_numpy())


LARGE: dict[str, Any] = {
    "integers beyond 2^52": 2**53 + RNG.integers(0, 10**6, N),
    "labels beyond 2^63": np.array([2**64 - 1, 2**64 - 2, 5] * (N // 3), np.uint64),
    "decimals": [decimal.Decimal(i % 37) / 7 for i in range(N)],
    "dates of 1492": [datetime.date(1492, 1, 1) + datetime.timedelta(days=i % 90) for i in range(N)],
    "lists": [[i] for i in range(N)],
}


@pytest.mark.parametrize("name", LARGE)
def test_samples_keep_types_and_have_scores(name: str) -> None:
    table = pyarrow.table({"x": pyarrow.array(LARGE[name]), "y": X})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = FlowDensity(max_steps=2, architectures=()).fit(table)
    sample = model.sample(50)
    assert np.isfinite(model.score_samples(sample)).all()
    if name == "lists":
        assert sample.column_names == ["y"]
        return
    assert sample["x"].type == table["x"].type
    if pyarrow.types.is_integer(sample["x"].type):
        assert set(np.sign(sample["x"].to_numpy().astype(float) - 2.0**52)) <= set(
            np.sign(table["x"].to_numpy().astype(float) - 2.0**52)
        )


def test_refusals_of_scikit_learn_are_errors_of_this_package() -> None:
    for table in (np.zeros((3, 2, 2)), np.array([[np.inf], [1.0]])):
        with pytest.raises(DataError):
            FlowDensity().fit(table)
    for target in (["a"] * N, np.full(N, np.nan)):
        with pytest.raises(DataError):
            FlowRegressor().fit({"x": X}, target)
    with pytest.raises(DataError, match="cannot tell apart"):
        ColumnPlan.guess({"x": [2**60 + i % 2 for i in range(N)]})
    with pytest.raises(DataError, match="1 row has a weight above 0"):
        FlowDensity(kinds={"w": "weight"}).fit({"x": X, "w": np.eye(N)[0]})


def test_tiny_weights_count_as_equal_ones() -> None:
    table = {"x": X}
    scores = [
        FlowDensity(max_steps=2, architectures=()).fit(table, sample_weight=np.full(N, size)).score(table)
        for size in (1e-300, 1.0)
    ]
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)
