"""The language of events: comparisons of columns and constants, and nothing else."""

from __future__ import annotations

import datetime

import pyarrow
import pytest

from pushforward.errors import OptionError
from pushforward.estimators.events import Event

COLUMNS = {
    "x": pyarrow.array([1.0, 2.0, None]),
    "n": pyarrow.array([10, 20, 30]),
    "word": pyarrow.array(["a", "b", "c"]).dictionary_encode(),
    "sold": pyarrow.array([True, False, True]),
    "day": pyarrow.array([datetime.date(2020, 1, d) for d in (1, 2, 3)]),
    "hours per week": pyarrow.array([40, 50, 60]),
}


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("x > 1", [1]),
        ("x >= 1 and n < 20", [0]),
        ("not x > 1", [0, 2]),
        ("x <= 1", [0]),
        ("x is None", [2]),
        ("x is not None or sold", [0, 1, 2]),
        ("word in ('a', 'c')", [0, 2]),
        ("word not in ['a', 'c']", [1]),
        ("x not in (1, 5)", [1]),
        ("sold", [0, 2]),
        ("10 < n <= 20", [1]),
        ("n / 4 > 4.9", [1, 2]),
        ("-x < -1.5", [1]),
        ("day >= '2020-01-02'", [1, 2]),
        ("col('hours per week') == 50", [1]),
        ("n + x == 11", [0]),
    ],
)
def test_an_event_holds_in_the_rows_where_it_is_true(text: str, rows: list[int]) -> None:
    assert Event(text).holds(COLUMNS).nonzero()[0].tolist() == rows


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("y > 1", "no column 'y'"),
        ("x >", "cannot be read"),
        ("__import__('os').system('true')", "not known here"),
        ("x.real > 1", "not known here"),
        ("n ** 9999 > 1", "not known here"),
        ("x", "no condition"),
        ("word > 1", "cannot be compared"),
        ("word + 1 == 2", "takes numbers"),
        ("x in ()", "without any"),
        ("x in word", "not known here"),
        ("day > 'soon'", "no date"),
    ],
)
def test_anything_else_is_refused_in_a_sentence(text: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Event(text).holds(COLUMNS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("word == 'c'", "column 'word' has no label 'c'; there are a, b"),
        ("word in ('a', 'bb')", "column 'word' has no label 'bb'; did you mean b?"),
        ("word == a", "'a' is a label of column 'word': write it in quotes"),
        ("word = 'a'", "cannot be read; write == instead of ="),
        ("word == 'a' and x=1", "cannot be read; write == instead of ="),
        ("price > 3", "there is no column 'price'; there are "),
    ],
)
def test_a_mistake_in_an_event_is_told_with_its_remedy_alone(text: str, message: str) -> None:
    with pytest.raises(OptionError) as told:
        Event(text).holds(COLUMNS, {"word": ("a", "b")})
    assert message in str(told.value)
    assert "comparisons of columns" not in str(told.value)
    assert "[" not in str(told.value)
