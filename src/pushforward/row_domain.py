"""Checks of rows of data against the domain of a flow, before any computation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from pushforward.domain import Domain
from pushforward.domain_values import Outside, at_ends, find_outside, outside_at
from pushforward.errors import DataError
from pushforward.flow import Flow
from pushforward.rows import Rows

# Number of rows with values at the ends of an interval that are scored to see whether the flow takes the ends.
_ENOUGH_ROWS = 64


def require_inside(
    flow: Flow,
    rows: Rows,
    where: Callable[[int], str],
    columns: Sequence[str] | None = None,
    domain: Domain | None = None,
) -> None:
    """Raise DataError, with row, column and value, unless all values of ``rows`` lie where ``flow`` takes data.

    where: names the row of a number, counted from 0. columns: names of the values of a row. domain: where they have to
    lie; None: where the flow takes data.
    """
    outside = find_outside(domain or flow.transform.domain, rows.x)
    if outside is None and domain in (None, flow.transform.domain):
        outside = _refused_end(flow, rows)
    if outside is not None:
        raise DataError(outside.sentence(where(outside.row), columns))


def _refused_end(flow: Flow, rows: Rows) -> Outside | None:
    """The first value at an end of its interval where the density is 0 or infinite, as a logarithm has it at 0.

    The transforms determine whether an interval is open or closed: the rows are scored unchanged, and with inner values
    in place of the ends.
    """
    ends = at_ends(flow.transform.domain, rows.x)
    if ends is None:
        return None
    numbers = ends.flatten(1).any(1) if ends.ndim > 1 else ends
    chosen = numbers.nonzero().flatten()[:_ENOUGH_ROWS]
    some = rows.take(chosen)
    x, context = some.on(flow)
    given, moved = (
        flow.likelihood(values, context).value.isfinite() for values in (x, _moved(flow, x, ends[chosen].to(x.device)))
    )
    refused = (moved & ~given).nonzero().flatten()
    if not len(refused):
        return None
    row = int(chosen[int(refused[0])])
    place = int(ends[row].flatten().nonzero()[0, 0])
    return outside_at(flow.transform.domain, rows.x, row, place, int(numbers.sum()))


def _moved(flow: Flow, x: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
    """``x`` with inner values of their intervals in the place of those that ``ends`` marks."""
    domain, size = flow.transform.domain, x[0].numel()
    inner = torch.tensor([domain.coordinate(i).middle for i in range(size)], dtype=x.dtype, device=x.device)
    return torch.where(ends, inner.reshape(x.shape[1:]), x)
