"""Rows that a flow cannot take are found before training, by row, column and value, and no others."""

from __future__ import annotations

import math

import pytest
import torch

from pushforward.domain import Domain
from pushforward.errors import DataError
from pushforward.training.batches import checked_rows
from registry import CHAINS, ENTRIES, Entry
from subjects import built, subject

_ROWS = 12
_CHECKED = [entry for entry in ENTRIES if entry.name not in CHAINS]


@pytest.mark.parametrize("entry", _CHECKED, ids=str)
def test_data_and_samples_of_a_flow_are_rows_that_it_takes(entry: Entry) -> None:
    made = subject(entry, torch.float32)
    context = made.context(_ROWS)
    assert len(checked_rows(made.flow, made.data(_ROWS), context, "training")) == _ROWS
    if made.transform.noise_to_data is not None and not made.transform.is_bijection:
        return  # samples of integers may lie outside, and are clamped by their own step
    generator = torch.Generator().manual_seed(0)
    if context is None:
        samples = made.flow.sample(_ROWS, generator=generator)
    else:
        samples = made.flow.sample(1, context, generator=generator)[0]
    assert len(checked_rows(made.flow, samples, context, "training")) == _ROWS


def _outside(domain: Domain) -> float | None:
    """A value that is not in the set of one coordinate, None where every number is."""
    if domain.wraps or domain.kind == "ordered" or (math.isinf(domain.low) and math.isinf(domain.high)):
        return None
    return domain.high + 5 if math.isfinite(domain.high) else domain.low - 5


_BOUNDED = [
    entry
    for entry in _CHECKED
    if any(_outside(p) is not None for d in [built(entry.name).transform.domain] for p in d.parts or (d,))
]


@pytest.mark.parametrize("entry", _BOUNDED, ids=str)
def test_a_value_outside_is_named_with_its_row_and_place(entry: Entry) -> None:
    made = subject(entry, torch.float32)
    x, context, domain = made.data(_ROWS), made.context(_ROWS), made.transform.domain
    places = [i for i in range(math.prod(entry.event_shape)) if _outside(domain.coordinate(i)) is not None]
    value = _outside(domain.coordinate(places[-1]))
    assert value is not None
    x.reshape(_ROWS, -1)[7, places[-1]] = value
    with pytest.raises(DataError, match=r"training row 7 has the value [-0-9.e+]+, but this flow takes ") as caught:
        checked_rows(made.flow, x, context, "training")
    if len(entry.event_shape) == 1:
        assert f"in column {places[-1]};" in str(caught.value)
    if domain.coordinate(places[-1]).kind == "circle":
        assert "period" in str(caught.value)
