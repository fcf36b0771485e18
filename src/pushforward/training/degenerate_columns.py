"""Columns of data without a density: constants, few values, a value that many rows share, linear combinations."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from pushforward.array_types import Array
from pushforward.flow import Flow
from pushforward.rows import Rows

# At most this many values are looked at, of rows drawn at random, but at least this many rows.
_MAX_VALUES, _LEAST_ROWS = 2_000_000, 10_000
# A column has few values if each stands, on average, in more rows than this.
_ROWS_PER_VALUE = 20
# A value is shared by many rows if this fraction has it, and at least so many rows.
_FRACTION, _SHARED_ROWS = 0.01, 10
# The variance of a column given the others, relative to its own: the squared rounding of float32 is 1e-14.
_UNEXPLAINED = 1e-10
# Rows of that decomposition, or four times the number of columns.
_ROWS_OF_QR = 2000
# Columns that a message names.
_NAMED = 5


def degenerate_columns(flow: Flow, rows: Rows, columns: Sequence[str] | None, seed: int) -> str | None:
    """A sentence on the columns of ``rows`` that have no density, None where all may have one.

    Only of flows that take vectors of real numbers: the values of others have probabilities, or are pixels. columns:
    their names.
    """
    if len(flow.event_shape) > 1:
        return None
    some = rows.sample(max(_LEAST_ROWS, _MAX_VALUES // max(1, rows.event_size)), seed)
    x, domain = some.values(), flow.transform.domain
    real = [i for i in range(x.shape[1]) if domain.coordinate(i).kind != "integers"]
    names = [f"column {i if columns is None else repr(columns[i])}" for i in range(x.shape[1])]
    reasons = {i: reason for i in real if (reason := _repeated_values(x[:, i])) is not None}
    context = some.context
    given = np.empty((len(x), 0))
    if context is not None and context.is_floating_point():
        given = context.cpu().double().flatten(1).numpy()
    for i, reason in _determined(x, given, [i for i in real if i not in reasons], names):
        reasons[i] = reason
    if not reasons:
        return None
    listed = [f"{names[i]} {reasons[i]}" for i in sorted(reasons)]
    more = f"; so are {len(listed) - _NAMED} more columns" if len(listed) > _NAMED else ""
    return (
        "these data have no density, and their likelihood grows for as long as a fit lasts: "
        f"{'; '.join(listed[:_NAMED])}{more}; leave such columns out, or fit a pushforward.estimators.FlowDensity, "
        "which gives their values probabilities"
    )


def _repeated_values(column: Array) -> str | None:
    """The repetition among the values ``(N,)`` of a column; None where they repeat as little as real numbers do."""
    values, counts = np.unique(column, return_counts=True)
    rows, most = len(column), int(counts.max())
    if len(values) == 1:
        return f"is {values[0]:g} in each of {rows:,} rows" if rows > 1 else None
    if rows >= _ROWS_PER_VALUE * len(values):
        return f"has {len(values):,} different values in {rows:,} rows"
    if most >= max(_SHARED_ROWS, _FRACTION * rows):
        return f"is {values[counts.argmax()]:g} in {100 * most / rows:.3g} % of the rows"
    return None


def _determined(x: Array, given: Array, places: Sequence[int], names: Sequence[str]) -> Iterator[tuple[int, str]]:
    """The columns of ``places`` that earlier ones and the context ``given: (N, K)`` determine linearly, with a reason.

    In the QR decomposition of the standardised columns, the diagonal of R holds the deviation of each column given
    those before it.
    """
    matrix = np.concatenate([given, x[:, list(places)]], 1)
    # With few rows, any column is a linear combination of others.
    step = max(1, len(x) // max(_ROWS_OF_QR, 4 * matrix.shape[1]))
    matrix = matrix[::step]
    if len(matrix) <= 2 * matrix.shape[1]:
        return
    centred = matrix - matrix.mean(0)
    deviations = np.sqrt((centred**2).mean(0))
    columns = centred / np.where(deviations > 0, deviations, 1.0) / math.sqrt(len(matrix))
    unexplained = np.diag(np.linalg.qr(columns, mode="r")) ** 2
    context = given.shape[1]
    owners = ["the context"] * context + [names[i] for i in places]
    for j in range(context, matrix.shape[1]):
        if unexplained[j] < _UNEXPLAINED:
            same = np.flatnonzero(np.abs(columns[:, :j].T @ columns[:, j]) > 1 - _UNEXPLAINED)
            others = "the columns before it" if not context else "the context and the columns before it"
            yield places[j - context], f"is a linear function of {owners[same[0]] if len(same) else others}"
