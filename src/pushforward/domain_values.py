"""Checks of data against the domain of a flow: the first value outside of it, and periodic values wrapped into it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pushforward.domain import Domain


class Outside(NamedTuple):
    """The first value of data that does not lie in a domain.

    row: its number, from 0. position: its place in the row, one number for each axis of an event. value: all of its
    digits. domain: the domain of values at this place. rows: number of rows with such values, of ``total``.
    """

    row: int
    position: tuple[int, ...]
    value: str
    domain: Domain
    rows: int
    total: int

    def sentence(self, where: str, columns: Sequence[str] | None = None) -> str:
        """A message with the value, its place and what to do. where: names the row; columns: names of a row's values.

        >>> from pushforward.domain import CIRCLE
        >>> find_outside(CIRCLE, torch.tensor([[1.0], [5.0]])).sentence("row 1", ["angle"]).partition(";")[0]
        "row 1 has the value 5.0, but this flow takes a period from -3.14159 to 3.14159 in column 'angle'"
        """
        wanted, advice = "a finite number", "correct or leave out such rows"
        if math.isfinite(float(self.value)):
            wanted = str(self.domain)
            if self.domain.kind == "circle":
                wanted = f"a period from {self.domain.low:g} to {self.domain.high:g}"
                advice = (
                    "build the flow with the period of the data (low=, high=), or with wrap=True, or wrap the values: "
                    "low + (x - low) % (high - low)"
                )
        place = ""
        if len(self.position) == 1:
            place = f" in column {self.position[0] if columns is None else repr(columns[self.position[0]])}"
        elif self.position:
            place = f" at {self.position}"
        rows = f"{self.rows:,} of {self.total:,} rows {'has' if self.rows == 1 else 'have'} such values"
        return f"{where} has the value {self.value}, but this flow takes {wanted}{place}; {rows}; {advice}"


def find_outside(domain: Domain, x: Tensor) -> Outside | None:
    """The first value of ``x: (N, *event_shape)`` that is not finite or not in ``domain``; None where all are in it.

    The ends of an interval count as inside.
    """
    if x.numel() == 0 or _all_inside(domain, x):
        return None
    values = x.reshape(len(x), -1)
    wrong = ~_inside(domain, values)
    rows = wrong.any(1)
    if not bool(rows.any()):
        return None
    row = int(rows.nonzero()[0, 0])
    place = int(wrong[row].nonzero()[0, 0])
    return outside_at(domain, x, row, place, int(rows.sum()))


def outside_at(domain: Domain, x: Tensor, row: int, place: int, rows: int) -> Outside:
    """The value of ``x: (N, *event_shape)`` at ``place`` of the flat row, which is one of ``rows`` such rows."""
    position = tuple(int(i) for i in np.unravel_index(place, x.shape[1:]))
    value = x[row].flatten()[place].cpu()
    # NumPy shows no more digits than distinguish a float32 from its neighbours, but has no bfloat16.
    shown = str(value.item() if value.dtype == torch.bfloat16 else value.numpy()[()])
    return Outside(row, position, shown, domain.coordinate(place), rows, len(x))


def at_ends(domain: Domain, x: Tensor) -> Tensor | None:
    """Which of the values ``x: (N, *event_shape)`` are ends of a real interval; None where none is."""
    parts = [(part, columns) for part, columns in _parts(domain, x) if part.kind == "real"]
    if not any(math.isfinite(end) for part, _ in parts for end in (part.low, part.high)):
        return None
    values = x.reshape(len(x), -1)
    ends = torch.zeros_like(values, dtype=torch.bool)
    for part, columns in parts:
        ends[:, columns] = (values[:, columns] == part.low) | (values[:, columns] == part.high)
    return ends.reshape(x.shape) if bool(ends.any()) else None


def wrap(domain: Domain, x: Tensor) -> Tensor:
    """``x: (N, *event_shape)`` with every value of a period that wraps brought into that period; ``x`` if none does."""
    if not domain.wraps:
        return x
    # Integers a period away are no integers where the period is none.
    values = (x.clone() if x.is_floating_point() else x.double()).reshape(len(x), -1)
    for part, columns in _parts(domain, values):
        if part.wraps:
            values[:, columns] = wrapped(values[:, columns], part.low, part.high)
    return values.reshape(x.shape)


def wrapped(x: Tensor, low: float, high: float) -> Tensor:
    """Values in the period from ``low`` to ``high``; those in it are not changed, ``high`` among them."""
    inside = (x >= low) & (x <= high)
    return torch.where(inside, x, (low + torch.remainder(x - low, high - low)).to(x.dtype))


def _all_inside(domain: Domain, x: Tensor) -> bool:
    """Whether the smallest and the largest show that all integers are inside, without a copy of large data."""
    if x.is_floating_point() or domain.kind not in ("real", "integers"):
        return False
    low, high = (x.to(torch.uint8) if x.dtype == torch.bool else x).aminmax()
    return bool(low >= domain.low) and bool(high <= domain.high)


def _inside(domain: Domain, x: Tensor) -> Tensor:
    """Which values of ``x: (N, D)`` are finite and in ``domain``, ``(N, D)``."""
    inside = x.isfinite()
    for part, columns in _parts(domain, x):
        own = x[:, columns]
        if not part.wraps:
            inside[:, columns] &= (own >= part.low) & (own <= part.high)
        if part.kind == "integers" and x.is_floating_point():
            inside[:, columns] &= own == own.round()
        if part.kind == "ordered":
            inside[:, 1:] &= x[:, 1:] > x[:, :-1]
    return inside


def _parts(domain: Domain, x: Tensor) -> Iterator[tuple[Domain, slice | list[int]]]:
    """The different sets that the columns of ``x: (N, D)`` lie in, each with its columns."""
    if domain.kind != "product":
        yield domain, slice(None)
        return
    for part in set(domain.parts):
        yield part, [i for i, own in enumerate(domain.parts) if own == part]
