import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from pushforward.data import DataSet
from pushforward.data.dataset import detect_levels, image_set, subset, table_set
from pushforward.errors import DataError, OptionError


def _table(n: int = 6) -> DataSet:
    return table_set("t", np.arange(2.0 * n).reshape(n, 2), ("a", "b"))


@pytest.mark.parametrize(
    ("largest", "levels"), [(0, 2), (1, 2), (2, 32), (15, 32), (16, 17), (17, 32), (31, 32), (32, 256), (255, 256)]
)
def test_levels_are_the_smallest_known_count_that_holds_the_data(largest, levels):
    assert detect_levels(largest) == levels


def test_event_shape_and_length_are_those_of_rows():
    assert _table().event_shape == (2,)
    assert len(_table()) == 6
    assert image_set("i", np.zeros((3, 1, 4, 5), np.uint8)).event_shape == (1, 4, 5)


def test_fingerprint_depends_on_values_shape_dtype_and_context_only():
    data = _table()
    assert data.fingerprint == dataclasses.replace(_table(), name="other", source="elsewhere").fingerprint
    changed = data.x.copy()
    changed[5, 1] = np.nextafter(changed[5, 1], 99)
    others = [
        dataclasses.replace(data, x=changed),
        table_set("t", data.x.reshape(3, 4), "abcd"),
        dataclasses.replace(data, context=np.zeros((6, 1)), context_columns=("c",)),
        image_set("i", np.zeros((6, 1, 2, 1), np.uint8)),
    ]
    assert len({data.fingerprint, *(other.fingerprint for other in others)}) == 5


def test_fingerprint_of_a_strided_view_is_that_of_its_copy():
    x = np.arange(24.0).reshape(6, 4)
    assert table_set("t", x[:, ::2], "ab").fingerprint == table_set("t", x[:, ::2].copy(), "ab").fingerprint


def test_take_keeps_rows_labels_context_and_the_published_test_part_together():
    data = dataclasses.replace(
        _table(),
        labels=np.arange(6),
        context=np.arange(6.0)[:, None],
        context_columns=("c",),
        test_rows=np.array([4, 5]),
    )
    part = data.take([5, 0, 4])
    assert part.x.tolist() == [[10, 11], [0, 1], [8, 9]]
    assert part.labels.tolist() == [5, 0, 4]
    assert part.context.tolist() == [[5], [0], [4]]
    assert part.test_rows.tolist() == [0, 2]
    assert data.take([0, 1]).test_rows is None
    assert len(data.take([])) == 0


@pytest.mark.parametrize("rows", [[6], [-1]])
def test_take_refuses_rows_that_are_not_there(rows):
    with pytest.raises(DataError, match="rows 0 to 5"):
        _table().take(rows)


def test_levels_can_be_raised_to_hold_the_data_but_not_lowered_below_it():
    dark = image_set("dark", np.full((2, 1, 2, 2), 20, np.uint8))
    assert dark.levels == 32
    assert dark.with_levels(256).levels == 256
    with pytest.raises(DataError, match=r"17 levels.* got 20"):
        dark.with_levels(17)
    with pytest.raises(DataError, match="no levels"):
        _table().with_levels(256)


def test_parts_that_do_not_fit_are_refused():
    x = np.zeros((3, 2))
    with pytest.raises(DataError, match="float64"):
        DataSet("t", "table", x.astype(np.float32), None, ("a", "b"))
    with pytest.raises(DataError, match="2 column names"):
        DataSet("t", "table", x, None, ("a",))
    with pytest.raises(DataError, match="uint8"):
        DataSet("i", "image", x, 256, None)
    with pytest.raises(DataError, match="number of levels"):
        DataSet("i", "image", np.zeros((1, 1, 2, 2), np.uint8), None, None)
    with pytest.raises(DataError, match="3 rows of labels expected, got 2"):
        DataSet("t", "table", x, None, ("a", "b"), labels=np.zeros(2, np.int64))
    with pytest.raises(DataError, match="no images"):
        image_set("i", np.zeros((0, 1, 2, 2), np.uint8))


def test_subset_draws_rows_by_seed_in_the_data_s_order():
    rows = subset(100, 10, seed=1)
    assert len(set(rows.tolist())) == 10
    assert (np.diff(rows) > 0).all()
    assert rows.tolist() == subset(100, 10, seed=1).tolist() != subset(100, 10, seed=2).tolist()
    assert subset(100, 100, seed=0) is None
    assert subset(100, None, seed=0) is None
    with pytest.raises(OptionError, match="positive"):
        subset(100, 0, seed=0)


def test_importing_data_loads_no_heavy_library():
    heavy = "torch sklearn pyarrow PIL matplotlib scipy"
    code = f"import sys, pushforward.data as d; d.names(); print([m for m in '{heavy}'.split() if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
