import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushforward.data import Split, split
from pushforward.data.dataset import DataSet, table_set
from pushforward.errors import DataError


def _data(n: int, test_rows: list[int] | None = None) -> DataSet:
    data = table_set("t", np.zeros((n, 1)), ("a",))
    return dataclasses.replace(data, test_rows=None if test_rows is None else np.array(test_rows))


def _all_rows(parts: Split) -> list[int]:
    return sorted(np.concatenate([parts.train, parts.validation, parts.test]).tolist())


@given(st.integers(10, 500), st.integers(0, 2**32))
def test_every_row_is_in_exactly_one_part(n, seed):
    parts = split(_data(n), seed)
    assert _all_rows(parts) == list(range(n))
    assert min(len(parts.train), len(parts.validation), len(parts.test)) >= 1


def test_parts_are_80_10_10_and_repeat_with_their_seed():
    parts = split(_data(1797))
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (1437, 180, 180)
    assert (parts.test == split(_data(1797)).test).all()
    assert (parts.test != split(_data(1797), seed=1).test).any()
    assert parts.train.dtype == np.int64
    assert (np.diff(parts.train) > 0).all()


def test_published_test_part_is_the_test_part_whatever_the_seed():
    data = _data(50, test_rows=list(range(40, 50)))
    for seed in range(3):
        parts = split(data, seed)
        assert parts.test.tolist() == list(range(40, 50))
        assert len(parts.validation) == 4
        assert _all_rows(parts) == list(range(50))
    assert len({tuple(split(data, seed).validation.tolist()) for seed in range(3)}) == 3


def test_fewer_than_ten_rows_are_refused():
    with pytest.raises(DataError, match=r"9 rows: at least 10"):
        split(_data(9))
    with pytest.raises(DataError, match=r"without its published test part, 5 rows"):
        split(_data(20, test_rows=list(range(15))))


def test_split_survives_json():
    parts = split(_data(30))
    again = Split.from_json(parts.to_json())
    for part in ("train", "validation", "test"):
        assert (getattr(parts, part) == getattr(again, part)).all()
        assert getattr(again, part).dtype == np.int64


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"train": [0], "validation": [1]}',
        '{"train": [0], "validation": [1], "test": [1]}',
        '{"train": [0.5], "validation": [1], "test": [2]}',
        '{"train": [true], "validation": [0], "test": [2]}',
        '{"train": [-1], "validation": [1], "test": [2]}',
        '{"train": [99999999999999999999], "validation": [1], "test": [2]}',
        '{"train": "0", "validation": [1], "test": [2]}',
        "[" * 100_000,
    ],
)
def test_damaged_split_is_refused(text):
    with pytest.raises(DataError, match="split"):
        Split.from_json(text)
