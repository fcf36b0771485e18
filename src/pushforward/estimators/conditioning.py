"""Questions about some columns given others: encoded conditions, and estimates from weighted draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow
import torch
from torch import Tensor

from pushforward.array_types import Array
from pushforward.error_messages import advice_on, did_you_mean
from pushforward.errors import DataError, OptionError, ShapeError
from pushforward.estimators.columns.arrow_types import is_number, is_text, is_time, plain, to_numbers
from pushforward.estimators.columns.dates import times_in_text
from pushforward.estimators.columns.plan import ColumnPlan
from pushforward.estimators.columns.tables import Table, read_table, taken
from pushforward.estimators.encoded import EncodedRows, joined
from pushforward.estimators.imputation import merged
from pushforward.estimators.input_tables import require_count
from pushforward.estimators.models.table_model import TableModel, proposals
from pushforward.estimators.possible_cells import nearest_cells, possible_cells
from pushforward.estimators.scoring import rows_of

# A weight above 0, so that the quantile at level 0 is a draw with a weight.
_LEAST = np.nextafter(0.0, 1.0)


class Estimate(NamedTuple):
    """An estimate and its standard error."""

    value: Any
    error: Any


def encode_given(plan: ColumnPlan, given: Any, generator: torch.Generator, copies: int = 1) -> EncodedRows:
    """The rows of ``given`` with everything else unknown; one row of nothing known for None.

    copies: how often each row is there, every time at another place within the cells of integers and dates.
    """
    require_count("draws", copies, 1)
    if given is None:
        return EncodedRows.unknown(plan.shapes, copies)
    return _encode(plan, possible_given(plan, given), generator, copies)


def _encode(plan: ColumnPlan, table: Table, generator: torch.Generator, copies: int = 1) -> EncodedRows:
    """The rows of a table of `possible_given`, each ``copies`` times."""
    rows = plan.encode(table, generator=generator, partial=True)
    if copies == 1 or not dequantised(plan, table):
        return rows.repeat(copies)
    places = np.repeat(np.arange(table.rows), copies)
    return plan.encode(taken(table, places), generator=generator, partial=True)


def sampled(
    plan: ColumnPlan, model: TableModel, given: Table | None, count: int, generator: torch.Generator
) -> EncodedRows:
    """``count`` encoded rows that a model draws, or as many for each row of ``given``, one after the other.

    given: a table of `possible_given`, or None.
    """
    require_count("n_samples", count, 0)
    if count == 0:
        return EncodedRows.unknown(plan.shapes, 0)
    if given is None:
        return model.sample(count, generator=generator)
    rows = _encode(plan, given, generator)
    if not dequantised(plan, given):
        return model.sample(count, given=rows, generator=generator)
    copies = proposals(count, given.rows)
    several = (_encode(plan, row, generator, copies) for row in rows_of(given))
    return joined([model.sample_given(row, count, generator) for row in several] or [rows])


def as_given(given: Table | None, drawn: Mapping[str, Any], count: int) -> dict[str, Any]:
    """The given cells, each ``count`` times, in the types of the drawn columns; a gap among them is drawn."""
    if given is None:
        return {}
    places = np.repeat(np.arange(given.rows), count)
    return {
        name: merged(given.columns[name].take(places).cast(array.type, safe=False), array)
        for name, array in drawn.items()
        if name in given.columns
    }


def possible_given(plan: ColumnPlan, given: Any) -> Table:
    """The given values as a table of modelled columns; numbers and dates off their grid are the nearest on it.

    Of a table, other values that the training rows rule out are unknown. Raises DataError for such a single value.
    """
    table = given_table(given)
    if not _several(given):
        return possible_row(plan, table)
    _check_modelled(plan, table)
    return possible_cells(plan, table)


def possible_row(plan: ColumnPlan, table: Table) -> Table:
    """One row with the `nearest_cells`. Raises DataError for another value unlike those of all training rows."""
    _check_modelled(plan, table)
    table = nearest_cells(plan, table)
    for column in plan.modelled:
        cells = table.columns.get(column.name)
        if cells is not None and column.unusual(plain(cells)).any():
            near = did_you_mean(str(cells[0]), column.kind.words)
            advice = f"; {near}" if near else ""
            raise DataError(
                f"given: column {column.name!r} expects {column.usual(plain(cells))}, got {cells[0]}{advice}"
            )
    return table


def dequantised(plan: ColumnPlan, table: Table) -> bool:
    """Whether a table has a column that noise makes continuous."""
    return any(column.kind.noisy and column.name in table.columns for column in plan.modelled)


def given_table(given: Any) -> Table:
    """The given values as a table, from a table or a mapping of single values."""
    if isinstance(given, Mapping):
        # An array without axes holds one value.
        plain_values = {n: value[()] if isinstance(value, np.ndarray) else value for n, value in given.items()}
        single = {name: [value] for name, value in plain_values.items() if np.ndim(value) == 0}
        given = single if len(single) == len(given) else given
        if not given:
            raise OptionError("given: at least one column expected")
    return read_table(given)


def known_columns(table: Any, names: Sequence[str]) -> Table:
    """The columns of a table. Raises OptionError for one that is none of ``names``."""
    content = given_table(table)
    for name in content.columns:
        if name not in names:
            advice = advice_on(name, names)
            raise OptionError(f"there is no column {name!r} in the density; {advice}")
    return content


def _check_modelled(plan: ColumnPlan, table: Table) -> None:
    name = next((name for name in table.columns if name not in plan.names), None)
    if name is None:
        return
    left_out = next((column for column in plan.left_out if column.name == name), None)
    if left_out is not None:
        raise OptionError(f"given: column {name!r} is no part of the density ({left_out.reason})")
    advice = advice_on(name, plan.names)
    raise OptionError(f"given: there is no column {name!r}; {advice}")


def estimate(holds: Array, log_weights: Tensor, given: Any) -> Estimate:
    """The probability of an event from weighted draws ``(B n,)``; numbers where one condition or none was given."""
    weights = log_weights.exp().numpy()
    happens = holds.reshape(weights.shape)
    p = (weights * happens).sum(1).clip(0.0, 1.0)
    effective = 1 / (weights**2).sum(1)
    spread = np.sqrt((weights**2 * (happens - p[:, None]) ** 2).sum(1))
    # Two draws more, one of each kind, so that an event that no draw shows has an error too.
    shrunk = (effective * p + 1) / (effective + 2)
    error = np.maximum(spread, np.sqrt(shrunk * (1 - shrunk) / (effective + 2)))
    return Estimate(p, error) if _several(given) else Estimate(float(p[0]), float(error[0]))


def quantiles_of(
    column: str, levels: Sequence[float], columns: Mapping[str, Any], log_weights: Tensor, given: Any
) -> Array:
    """Weighted quantiles of the draws of a column: ``(levels,)``, or ``(B, levels)`` for a table of B conditions."""
    asked = np.asarray(levels, dtype=np.float64)
    if not ((asked >= 0) & (asked <= 1)).all():
        raise OptionError(f"levels between 0 and 1 expected, got {list(levels)}")
    array = ordered(column, columns)
    numbers = to_numbers(array).reshape(log_weights.shape)
    weights = np.where(np.isnan(numbers), 0.0, log_weights.exp().numpy())
    order = np.argsort(numbers, 1)
    cumulative = np.cumsum(np.take_along_axis(weights, order, 1), 1)
    places = [np.searchsorted(row, np.maximum(asked * row[-1] * (1 - 1e-12), _LEAST)) for row in cumulative]
    chosen = np.array(places, dtype=np.int64).reshape(len(order), len(asked)).clip(max=numbers.shape[1] - 1)
    at = np.take_along_axis(order, chosen, 1) + np.arange(len(order))[:, None] * numbers.shape[1]
    values = array.take(pyarrow.array(at.ravel())).to_numpy(zero_copy_only=False).reshape(at.shape)
    return np.asarray(values if _several(given) else values[0])


def joint_cdf(points: Mapping[str, Any], columns: Mapping[str, Any], log_weights: Tensor, given: Any) -> Array:
    """``(P,)`` or ``(B, P)``: the probability that each column is at most its value, from weighted draws."""
    if not points:
        raise OptionError("points: at least one column expected")
    limits = {name: np.atleast_1d(value) for name, value in points.items()}
    lengths = {name: limit.shape for name, limit in limits.items() if limit.shape != (1,)}
    if len(set(lengths.values())) > 1 or any(len(shape) > 1 for shape in lengths.values()):
        shown = ", ".join(f"{shape} for {name!r}" for name, shape in lengths.items())
        raise ShapeError(f"points: one value for each column, or P for each, expected, got shapes {shown}")
    below: Any = True
    for name, limit in limits.items():
        array = ordered(name, columns)
        arrow = array.type if is_time(array.type) else pyarrow.float64()
        try:
            bounds = to_numbers(read_table({name: limit}).columns[name].cast(arrow, safe=False))
        except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError):
            raise DataError(f"points: column {name!r} holds {array.type} values, got {limit[0]!r}") from None
        below = below & (to_numbers(array)[:, None] <= bounds)
    weights = log_weights.exp().numpy()
    result = (weights[:, :, None] * below.reshape(*weights.shape, below.shape[1])).sum(1)
    return np.asarray(result if _several(given) else result[0])


def ordered(name: str, columns: Mapping[str, Any]) -> Any:
    """A column whose values have an order, dictionaries decoded, and dates in text as dates."""
    if name not in columns:
        raise OptionError(f"there is no column {name!r}; {advice_on(name, list(columns))}")
    array = plain(columns[name])
    array = times_in_text(array) if is_text(array.type) else array
    if not (is_number(array.type) or is_time(array.type) or pyarrow.types.is_boolean(array.type)):
        raise OptionError(f"column {name!r} holds {array.type} values, which have no order; ask for a probability")
    return array


def _several(given: Any) -> bool:
    """Whether answers have one row for each condition."""
    if given is None:
        return False
    return not (isinstance(given, Mapping) and all(np.ndim(value) == 0 for value in given.values()))
