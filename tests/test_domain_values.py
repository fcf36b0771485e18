"""Values outside a domain are found by row, place and value, and periodic ones are wrapped."""

from __future__ import annotations

import math

import pytest
import torch

from pushforward.domain import CIRCLE, REAL, UNIT, Domain, integers, product
from pushforward.domain_values import at_ends, find_outside, wrap, wrapped

DAY = Domain("circle", 0.0, 24.0)
WRAPPED_DAY = Domain("circle", 0.0, 24.0, wraps=True)
MIXED = product([DAY, REAL, integers(3), Domain("real", 0.0), WRAPPED_DAY])
GOOD = [1.0, -1e9, 2.0, 0.5, 100.0]

# A domain, a value and whether it belongs to it.
VALUES = [
    *((domain, value, False) for domain in (REAL, UNIT, DAY, WRAPPED_DAY) for value in (math.nan, math.inf, -math.inf)),
    *((REAL, value, True) for value in (-1e30, 0.0, 1e30)),
    *((UNIT, value, good) for value, good in ((-1e-6, False), (0.0, True), (1.0, True), (1.000001, False))),
    *((Domain("real", 0.0), value, good) for value, good in ((-1.0, False), (1e9, True))),
    *((DAY, value, good) for value, good in ((-0.1, False), (0.0, True), (24.0, True), (24.1, False))),
    *((WRAPPED_DAY, value, True) for value in (-0.1, 24.1, 1e4)),
    *((integers(4), value, good) for value, good in ((-1.0, False), (0.5, False), (3.0, True), (4.0, False))),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("domain", "value", "good"), VALUES)
def test_a_value_is_found_where_it_is_outside(domain: Domain, value: float, good: bool, dtype: torch.dtype) -> None:
    x = torch.full((5, 3), domain.middle if domain.kind != "integers" else 1.0, dtype=dtype)
    x[3, 1] = x[4, 2] = value
    outside = find_outside(domain, x)
    assert (outside is None) == good
    if outside is not None:
        assert (outside.row, outside.position, outside.rows, outside.total) == (3, (1,), 2, 5)
        assert float(outside.value) == pytest.approx(value, nan_ok=True)


@pytest.mark.parametrize(("place", "value"), [(0, 25.0), (1, math.inf), (2, 0.5), (3, -0.1), (4, math.nan)])
def test_each_coordinate_of_a_product_has_its_own_domain(place: int, value: float) -> None:
    x = torch.tensor([GOOD, GOOD])
    assert find_outside(MIXED, x) is None
    x[1, place] = value
    outside = find_outside(MIXED, x)
    assert outside is not None
    assert (outside.row, outside.position, outside.domain) == (1, (place,), MIXED.coordinate(place))


def test_ordered_vectors_ascend() -> None:
    domain = Domain("ordered")
    assert find_outside(domain, torch.tensor([[1.0, 2.0, 3.0]])) is None
    for row in ([1.0, 3.0, 2.0], [1.0, 2.0, 2.0]):
        outside = find_outside(domain, torch.tensor([[1.0, 2.0, 3.0], row]))
        assert outside is not None
        assert (outside.row, outside.position) == (1, (2,))


def test_images_and_single_numbers_are_placed() -> None:
    image = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    image[1, 2, 0, 3] = 9
    outside = find_outside(integers(4), image)
    assert outside is not None
    assert outside.sentence("row 1").startswith(
        "row 1 has the value 9, but this flow takes integers 0..3 at (2, 0, 3);"
    )
    assert find_outside(integers(10), image) is None
    outside = find_outside(UNIT, torch.tensor([0.5, 2.0]))
    assert outside is not None
    assert "2.0, but this flow takes interval (0, 1); 1 of 2 rows has such values" in outside.sentence("row 1")
    assert find_outside(UNIT, torch.zeros(0, 3)) is None


def test_the_sentence_names_the_column_and_how_to_wrap() -> None:
    outside = find_outside(DAY, torch.tensor([[1.0, 2.0], [3.0, 25.0], [30.0, 0.0]]))
    assert outside is not None
    text = outside.sentence("a.csv: row 2", ["day", "hour"])
    assert text.startswith(
        "a.csv: row 2 has the value 25.0, but this flow takes a period from 0 to 24 in column 'hour'; "
    )
    assert "2 of 3 rows have such values" in text
    assert "low + (x - low) % (high - low)" in text


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_wrapping_keeps_what_is_inside_and_moves_the_rest_by_periods(dtype: torch.dtype) -> None:
    x = torch.tensor([-370.0, -10.0, 0.0, 180.0, 360.0, 370.0, 7201.0], dtype=dtype)
    assert wrapped(x, 0.0, 360.0).tolist() == [350.0, 350.0, 0.0, 180.0, 360.0, 10.0, 1.0]
    rows = torch.tensor([[-1.0, 5.0, 0.0, 1.0, 25.0], GOOD], dtype=dtype)
    moved = wrap(MIXED, rows)
    assert moved.tolist() == [[-1.0, 5.0, 0.0, 1.0, 1.0], [*GOOD[:4], 4.0]]
    assert rows[0, 4] == 25.0
    assert wrap(product([DAY, REAL]), rows) is rows
    assert (
        find_outside(Domain("circle", -math.pi, math.pi), wrapped(1e4 * torch.randn(1000, 1), -math.pi, math.pi))
        is None
    )


def test_ends_are_those_of_real_intervals() -> None:
    assert at_ends(CIRCLE, torch.tensor([[CIRCLE.low]])) is None
    assert at_ends(integers(3), torch.tensor([[0.0]])) is None
    ends = at_ends(MIXED, torch.tensor([[0.0, 0.0, 0.0, 0.0, 0.0], GOOD]))
    assert ends is not None
    assert ends.tolist() == [[False, False, False, True, False], [False] * 5]
