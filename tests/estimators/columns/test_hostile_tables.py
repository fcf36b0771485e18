"""Tables that nobody would choose: each ends in a plan that encodes and decodes it, or in one clear sentence."""

import datetime
import decimal
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow
import pytest
import torch

from pushforward.errors import DataError, PushforwardError
from pushforward.estimators.columns.plan import ColumnPlan

RNG = np.random.default_rng(0)
N = 60
X = RNG.normal(size=N)

PLANS: dict[str, Callable[[], Any]] = {
    "one row": lambda: {"x": [1.0], "y": ["a"]},
    "two rows": lambda: {"x": [1.0, 2.0]},
    "two equal rows": lambda: {"x": [1.0, 1.0]},
    "three rows of text": lambda: {"x": ["a", "b", "c"]},
    "more columns than rows": lambda: RNG.normal(size=(5, 40)),
    "all empty": lambda: {"x": [None] * N, "y": X},
    "all NaN": lambda: {"x": np.full(N, np.nan), "y": X},
    "one value and gaps": lambda: {"x": [3.0, None] * 30},
    "one text and gaps": lambda: {"x": ["a", ""] * 30},
    "one value present": lambda: {"x": [1.0] + [None] * (N - 1), "y": X},
    "infinities": lambda: {"x": np.where(X > 1, np.inf, np.where(X < -1, -np.inf, X))},
    "one infinity": lambda: {"x": np.append(X, np.inf)},
    "denormal": lambda: {"x": 1e-310 * X},
    "tiny steps on a large number": lambda: {"x": 1e16 + 2 * np.arange(N) % 7},
    "large offset": lambda: {"x": 1e9 + X},
    "negative zero": lambda: {"x": np.where(X > 0, 0.0, -0.0), "y": X},
    "one outlier": lambda: {"x": np.append(X, 1e280)},
    "outliers on both sides": lambda: {"x": np.append(X, [1e250, -1e290])},
    "two far clusters": lambda: {"x": np.append(X, X + 1e12)},
    "mostly one value": lambda: {"x": np.append(np.zeros(1000), X)},
    "one other value": lambda: {"x": np.append(np.zeros(1000), 1.5)},
    "zeros and one tiny": lambda: {"x": np.append(np.zeros(1000), 1e-300)},
    "sentinels": lambda: {"x": np.concatenate([X, [-999] * 20, [9999] * 20])},
    "far sentinels": lambda: {"x": np.concatenate([X, [-1e200] * 20])},
    "both bounds": lambda: {"x": np.concatenate([np.zeros(20), RNG.uniform(size=N), np.ones(20)])},
    "one row on a bound": lambda: {"x": np.append(RNG.uniform(size=500), 0.0)},
    "a cap and one zero": lambda: {"x": np.concatenate([[0.0], RNG.uniform(0.1, 1.5, 40), [1.5] * 12])},
    "integers at the limits": lambda: {"x": np.array([-(2**63), 2**63 - 1] * 30), "y": X},
    "unsigned at the limit": lambda: {"x": np.append(np.arange(N, dtype=np.uint64), np.uint64(2**64 - 1))},
    "large ids": lambda: {"account": 2**62 + RNG.permutation(10_000)[:N], "y": X},
    "booleans with gaps": lambda: {"x": [True, False, None] * 20},
    "booleans as text": lambda: {"x": ["True", "False"] * 30},
    "one boolean": lambda: {"x": [True] * N, "y": X},
    "numbers as text": lambda: {"x": [str(value) for value in X], "y": X},
    "empty text": lambda: {"x": ["", "a", "b"] * 20},
    "odd names": lambda: {"": X, "a b\n\tc": X**2, "ü" * 300: X**3, "[red]x[/red]": -(X**2) + X},
    "names of numbers": lambda: {1: X, 2: X**2},
    "names that look like options": lambda: {"--kind": X, "x=y": X**2},
    "text in other scripts": lambda: {"x": ["日本", "😀", "\u202eabc"] * 20},
    "long text": lambda: {"x": ["a" * 9_000, "b"] * 30},
    "control characters": lambda: {"x": ["\x1b[31m", "\0"] * 30},
    "many labels": lambda: {"x": [f"l{i % 1200}" for i in range(3000)], "y": RNG.normal(size=3000)},
    "dates out of order with gaps": lambda: {"x": ["2020-02-30" if i == 3 else "2020-02-20" for i in range(N)], "y": X},
    "dates far away": lambda: {"x": ["0001-01-01", "9999-12-31", "1970-01-01"] * 20},
    "one date": lambda: {"x": [datetime.date(2020, 1, 1)] * N, "y": X},
    "one moment": lambda: {"x": np.full(N, np.datetime64("2020-01-01T10:00", "s")), "y": X},
    "moments without a day": lambda: {"x": [datetime.time(i % 24, 5) for i in range(N)]},
    "missing moments": lambda: {"x": np.array(["2020-01-01", "NaT", "2021-01-01"] * 20, "M8[D]")},
    "months": lambda: {"x": np.array(["2020-01", "2020-02", "2021-01"] * 20, "M8[M]")},
    "hours": lambda: {"x": np.arange(N).astype("M8[h]"), "y": X},
    "decimals": lambda: {"x": [decimal.Decimal(i) / 7 for i in range(N)]},
    "half precision": lambda: {"x": X.astype(np.float16)},
    "long double": lambda: {"x": X.astype(np.longdouble)},
    "big-endian": lambda: {"x": X.astype(">f8"), "y": np.arange(N).astype(">i4") % 7},
    "bytes": lambda: {"x": np.array([b"a", b"b"] * 30)},
    "lists in cells": lambda: {"x": pyarrow.array([[1], [2, 3]] * 30), "y": X},
    "a record array": lambda: np.array([(1.5, 2), (2.5, 3), (0.5, 9)], dtype=[("a", "f8"), ("b", "i4")]),
    "rows as mappings": lambda: [{"a": 1.5, "b": "x"}, {"a": 2.5}, {"b": "y"}],
    "rows of mixed cells": lambda: [[1.5, "x"], [2.5, "y"], [3.5, "x"]],
    "a tensor": lambda: torch.randn(20, 2, generator=torch.Generator().manual_seed(0)),
    "one dimension": lambda: X,
    "equal columns": lambda: {"x": X, "y": X, "z": X},
    "equal text": lambda: {"x": ["a", "b"] * 30, "y": ["a", "b"] * 30},
    "one-hot columns": lambda: {"a": [1, 0, 0] * 30, "b": [0, 1, 0] * 30, "c": [0, 0, 1] * 30},
    "copies with gaps": lambda: {"x": np.where(X > 1, np.nan, X), "y": np.where(X > 1, np.nan, 2 * X + 1)},
    "copies in single precision": lambda: {"x": X, "y": X.astype(np.float32)},
    "row numbers only": lambda: {"x": np.arange(N)},
    "row numbers twice": lambda: {"x": np.arange(N), "y": np.arange(N)},
    "a permutation": lambda: {"x": RNG.permutation(5000), "y": RNG.normal(size=5000)},
    "everything left out": lambda: {"id": [f"a{i}" for i in range(N)], "one": [1] * N},
    "a non-contiguous array": lambda: RNG.normal(size=(40, 6))[::2, ::-3],
    "a read-only array": lambda: np.broadcast_to(X[:, None], (N, 2)),
    "a masked array": lambda: np.ma.masked_greater(RNG.normal(size=(N, 2)), 1.0),
}

SENTENCES: dict[str, tuple[Callable[[], Any], str]] = {
    "no rows": (lambda: {"x": []}, "no rows"),
    "no columns": (dict, "no columns"),
    "an empty list": (list, "no rows"),
    "an empty array": (lambda: np.empty((0, 3)), "no rows"),
    "no columns in an array": (lambda: np.empty((3, 0)), "no columns"),
    "nothing": (lambda: None, "a table expected"),
    "a number": (lambda: 3.0, "a table expected"),
    "text": (lambda: "table.csv", "a table expected, got text"),
    "a mapping of numbers": (lambda: {"x": 3.0}, "column 'x': a sequence of values expected"),
    "a mapping of text": (lambda: {"x": "abc"}, "column 'x': a sequence of values expected"),
    "three dimensions": (lambda: np.zeros((2, 3, 4)), r"a table \(N, D\) expected, got shape \(2, 3, 4\)"),
    "ragged columns": (lambda: {"x": [1, 2], "y": [1]}, "columns of one length"),
    "ragged rows": (lambda: [[1, 2], [3]], "rows of one length"),
    "rows of several forms": (lambda: [[1, 2], {"a": 3}], "rows of one form"),
    "complex numbers": (lambda: {"x": X + 1j}, "complex"),
    "numbers and text": (lambda: {"x": [1.5, "a"]}, "column 'x' holds values of several types"),
    "objects": (lambda: {"x": [object(), object()]}, "column 'x' holds values of several types"),
    "bytes that are no text": (lambda: {"x": [b"\xff", b"\xfe"]}, "column 'x' holds bytes"),
    "equal names": (lambda: pyarrow.table([[1], [2]], names=["x", "x"]), "unique column names"),
    "names that become equal": (lambda: {1: [1], "1": [2]}, "two columns are named '1'"),
    "only infinities": (lambda: {"x": np.where(X > 0, np.inf, -np.inf)}, "column 'x' has no finite number"),
    "too large": (lambda: {"x": 1e305 * X}, "column 'x' has a value beyond 1e.300"),
    "two-dimensional cells": (lambda: {"x": np.zeros((3, 2))}, "one value a row"),
}


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_encodes_and_decodes_it(name: str) -> None:
    table = PLANS[name]()
    plan = ColumnPlan.guess(table)
    assert ColumnPlan.from_json(plan.to_json()) == plan
    assert all(len(line) <= 80 and line.isprintable() for line in plan.summary(80).splitlines())
    rows = plan.encode(table, generator=torch.Generator().manual_seed(0))
    assert not rows.impossible.any(), plan.problems(table)
    assert rows.values.isfinite().all()
    assert rows.log_slopes.isfinite().all()
    assert (rows.values.abs() < 1e4).all()
    for column, shape in enumerate(plan.shapes):
        assert set(rows.states[:, column].tolist()) == set(range(shape.states)) or shape.states == 1
    back = plan.decode(rows)
    names = list(back.column_names if isinstance(back, pyarrow.Table) else back)
    again = plan.encode(back, generator=torch.Generator().manual_seed(0))
    assert names == [column.name for column in plan.columns if column.kind.label != "ignored"]
    assert torch.equal(again.states, rows.states)
    assert not again.impossible.any(), plan.problems(back)


@pytest.mark.parametrize("name", SENTENCES)
def test_a_sentence_says_what_is_wrong(name: str) -> None:
    make, message = SENTENCES[name]
    with pytest.raises(PushforwardError, match=message) as caught:
        ColumnPlan.guess(make())
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_text_that_is_no_number_is_named() -> None:
    with pytest.raises(DataError, match=r"^column 'a' has text, 'x y', where the kind real takes numbers$"):
        ColumnPlan.guess({"a": ["1", "2", "x y"]}, {"a": "real"})
