"""DataFrames are rows like arrays, in every function that takes rows, and errors have the names of their columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

import pushforward as pf
from pushforward.data_frames import as_frame, column_names
from pushforward.errors import DataError, DtypeError, PrecisionWarning
from pushforward.inputs import as_tensor

VALUES = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)


def _table(**more: Any) -> pa.Table:
    return pa.table({"mass": VALUES[:, 0], "speed": VALUES[:, 1], **more})


def _flow(**options: Any) -> pf.Flow:
    torch.manual_seed(0)
    return pf.flows.build("real_nvp", event_shape=(2,), transforms=2, hidden=(8,), **options)


def test_a_table_is_the_array_of_its_columns() -> None:
    frame = as_frame(pa.table({"a": [1, 2, None], "b": [True, False, True], "c": [0.5, 1.5, None]}), "x")
    assert frame is not None
    assert frame.columns == ("a", "b", "c")
    assert np.array_equal(frame.values, [[1, 1, 0.5], [2, 0, 1.5], [np.nan, 1, np.nan]], equal_nan=True)
    whole = as_frame(pa.table({"a": [2**60 + 1, 2], "b": [True, False]}), "x")
    assert whole is not None
    assert whole.values.tolist() == [[2**60 + 1, 1], [2, 0]]
    for other in (VALUES, torch.zeros(3), [[1.0]], object(), 3):
        assert as_frame(other, "x") is None
        assert column_names(other) is None


def test_every_function_of_the_front_page_takes_one() -> None:
    table, tensor = _table(), torch.from_numpy(VALUES)
    results = [pf.fit(_flow(), x, steps=3, progress=False).best_validation for x in (table, tensor, VALUES.tolist())]
    assert results[0] == results[1] == results[2]
    flow = _flow().eval()
    assert torch.equal(flow.log_prob(table), flow.log_prob(tensor))
    assert torch.equal(flow.encode(table), flow.encode(tensor))
    assert torch.equal(flow.likelihood(table).value, flow.likelihood(tensor).value)
    assert str(pf.check(flow, table)) == str(pf.check(flow, tensor))
    columns = pf.report(flow, table).numbers["columns"]
    assert [column["name"] for column in columns] == ["mass", "speed"]


def test_contexts_may_be_tables_too() -> None:
    flow, given = _flow(context_dim=1).eval(), np.linspace(0, 1, 60)[:, None]
    table = pa.table({"year": given[:, 0]})
    pf.fit(flow, _table(), context=table, steps=2, progress=False)
    assert torch.equal(flow.log_prob(_table(), table), flow.log_prob(VALUES, given))
    broken = pa.table({"year": [*given[1:, 0].tolist(), None]})
    with pytest.raises(DataError, match=r"training context of row 59 has the value nan.* in column 'year'"):
        pf.fit(flow, _table(), context=broken, steps=2, progress=False)


def test_a_column_without_numbers_is_named() -> None:
    table = pa.table({"mass": VALUES[:, 0], "name": ["x"] * 60})
    for call in (lambda: pf.fit(_flow(), table, progress=False), lambda: _flow().log_prob(table)):
        with pytest.raises(DtypeError, match="column 'name' holds String values, where numbers are expected"):
            call()


def test_a_missing_value_is_named_by_its_column() -> None:
    table = pa.table({"mass": VALUES[:, 0], "speed": [*VALUES[:-1, 1].tolist(), None]})
    with pytest.raises(DataError, match=r"training row 59 has the value nan, but .* in column 'speed'; 1 of 60 rows"):
        pf.fit(_flow(), table, progress=False)


def test_differences_that_are_lost_are_named_by_their_column() -> None:
    table = pa.table({"mass": VALUES[:, 0].astype(float), "time": 1.7e9 + VALUES[:, 1].astype(float)})
    with pytest.raises(DataError, match="training column 'time' varies by"):
        pf.fit(_flow(), table, progress=False)
    with pytest.warns(PrecisionWarning, match="x column 'time' varies by"):
        _flow().eval().log_prob(table)


def test_a_value_outside_the_domain_is_named_by_its_column() -> None:
    flow = pf.flows.build("circular_nsf", event_shape=(2,), circular=(1,), low=0.0, high=24.0)
    table = pa.table({"mass": VALUES[:, 0], "hour": np.append(np.full(59, 3.0), 25.0)})
    with pytest.raises(DataError, match=r"training row 59 has the value 25\.0, .* from 0 to 24 in column 'hour'"):
        pf.fit(flow, table, progress=False)


def test_unsigned_integers_beyond_the_signed_ones_keep_their_sign() -> None:
    huge = np.array([[2**63 + 2048, 1]], dtype=np.uint64)
    assert (as_tensor(huge, "x") > 0).all()
