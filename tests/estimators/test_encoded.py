"""Encoded rows of tables."""

import pytest
import torch

from pushforward.errors import ShapeError
from pushforward.estimators.encoded import UNKNOWN, ColumnShape, EncodedRows, joined

SHAPES = (ColumnShape(), ColumnShape(3, value=False), ColumnShape(2))


def rows() -> EncodedRows:
    states = torch.tensor([[0, 2, 1], [0, 0, 0], [UNKNOWN, 1, 0]])
    values = torch.tensor([[1.0, 0.0, 0.0], [2.0, 0.0, 5.0], [0.0, 0.0, torch.nan]])
    return EncodedRows.of(states, values)


def test_values_are_present_in_the_state_that_carries_one() -> None:
    assert rows().present(SHAPES).tolist() == [[True, False, False], [True, False, True], [False, False, False]]


def test_rows_and_columns_are_chosen_together() -> None:
    part = rows().take(torch.tensor([1])).columns([2, 0])
    assert part.states.tolist() == [[0, 0]]
    assert part.values.tolist() == [[5.0, 2.0]]
    assert joined([part.repeat(2), part]).values.tolist() == [[5.0, 2.0]] * 3


def test_no_rows_and_unknown_rows() -> None:
    assert len(EncodedRows.unknown(SHAPES, 0)) == 0
    assert not EncodedRows.unknown(SHAPES, 2).present(SHAPES).any()


def test_a_column_has_some_content() -> None:
    with pytest.raises(ShapeError, match="at least two states"):
        ColumnShape(1, value=False)
