"""Integrals of the density of rows over the cells of integers and dates, which noise makes continuous."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import torch
from scipy.special import ndtri_exp
from torch import Tensor

from pushforward.estimators.columns.plan import ColumnPlan
from pushforward.estimators.columns.tables import Table
from pushforward.estimators.encoded import EncodedRows
from pushforward.estimators.models.mixture_head import MixtureHead
from pushforward.estimators.models.table_model import TableModel
from pushforward.threads import one_thread

# Rows whose mixtures are held together, and the width of a cell, in deviations, over which a Gaussian is constant.
_ROWS, _NARROW = 10_000, 1e-4
# The part of a cell's width by which its encoding may be off a straight line.
_STRAIGHT = 1e-3


# The plan of the columns of a table, the table, and whether absent content is unknown.
Part = tuple[ColumnPlan, Table, bool]


class Cells(NamedTuple):
    """The cells of N rows in a dequantised column: their encoded ends ``(N,)`` and the log of their width.

    column: its number in the model. place: its number among the dequantised columns.
    """

    column: int
    place: int
    low: Tensor
    high: Tensor
    log_width: float


def cells_of(parts: Sequence[Part], scored: Sequence[int]) -> Iterator[Cells]:
    """The cells of those of the dequantised columns of tables side by side that are among ``scored``."""
    columns = [(column, table.columns.get(column.name)) for plan, table, _ in parts for column in plan.modelled]
    places = iter(range(len(columns)))
    for number, (column, array) in enumerate(columns):
        place = next(places) if column.kind.noisy else None
        if place is not None and number in scored and array is not None:
            low, high = map(torch.from_numpy, column.edges(array))
            yield Cells(number, place, low, high, math.log(column.kind.cell_width))


@dataclass(frozen=True, eq=False)
class CellIntegral:
    """The integral of a density over the cells of N rows, from its values at J points of each.

    A distribution in closed form, near that of the model, has a known mass in the cell: the integral is this mass times
    the ratio of the sums of both densities, weighted by the density of the points.

    The points are few, and a cell next to a bound may hold many components of a mixture. The probabilities of all
    values of a count next to its bound, or of two, add up to 1 within 0.003, those of three within 0.005; the logarithm
    of a single cell at two bounds may be off by 0.03.

    values: encoded, of each of the cells, ``(J, N)``. log_near: the log-density near that of the model, and log_drawn:
    that of the points, ``(J, N)``. log_mass: of the cells, for each unit of their widths, ``(N,)``. bent: the rows
    ``(N,)`` with a cell in which the encoding is no straight line, as next to a bound. Of the others, the density is
    averaged over the places that they are encoded at.
    """

    cells: Sequence[Cells]
    bent: Tensor
    values: Sequence[Tensor]
    log_near: Tensor
    log_drawn: Tensor
    log_mass: Tensor

    @classmethod
    def of(
        cls, cells: Sequence[Cells], rows: EncodedRows, model: TableModel, points: Sequence[Sequence[float]]
    ) -> Self:
        """The points of the cells of encoded rows. points: J places in [0, 1] for each dequantised column."""
        given = unvalued(rows, [each.column for each in cells])
        total = torch.zeros(2 * len(points) + 1, len(rows), dtype=torch.float64)
        values = []
        present = [rows.states[:, each.column] == 0 for each in cells]
        bent = torch.zeros(len(rows), dtype=torch.bool)
        for each, here in zip(cells, present, strict=True):
            width = each.high - each.low  # infinite next to a bound
            off = rows.values[:, each.column] - each.low - points[0][each.place] * width
            bent |= here & ~(width.isfinite() & (off.abs() <= _STRAIGHT * width))
        for each, here in zip(cells, present, strict=True):
            places = torch.tensor([point[each.place] for point in points], dtype=torch.float64)
            moved = rows.values[:, each.column].repeat(len(points), 1)
            for some in (here & bent).nonzero()[:, 0].split(_ROWS):
                head = value_given(model, given.take(some), each.column)
                nodes = _points(head, each.low[some], each.high[some], places)
                moved[:, some] = nodes.values
                total[:, some] += torch.cat([nodes.log_near, nodes.log_drawn, nodes.log_mass[None] - each.log_width])
            values.append(moved)
        near, drawn, mass = total.split([len(points), len(points), 1])
        return cls(cells, bent, values, near, drawn, mass[0])

    def moved(self, rows: EncodedRows, point: int) -> EncodedRows:
        """The rows with the values of one of the points in bent cells, and without the slopes of these."""
        values, log_slopes = rows.values.clone(), rows.log_slopes.clone()
        for each, moved in zip(self.cells, self.values, strict=True):
            values[:, each.column] = torch.where(self.bent, moved[point], values[:, each.column])
            log_slopes[:, each.column].masked_fill_(self.bent, 0.0)
        return replace(rows, values=values, log_slopes=log_slopes)

    def of_density(self, log_densities: Tensor) -> Tensor:
        """``(N,)``: the log of the integral of a density with the values ``(J, N)`` at the points, by unit of width."""
        near = (self.log_near - self.log_drawn).logsumexp(0)
        return self.log_mass + (log_densities - self.log_drawn).logsumexp(0) - near


def unvalued(rows: EncodedRows, columns: Sequence[int]) -> EncodedRows:
    """The rows without the values of ``columns``, whose states stay."""
    values = rows.values.clone()
    values[:, list(columns)] = torch.where(rows.states[:, list(columns)] == 0, torch.nan, 0.0).double()
    return replace(rows, values=values)


def value_given(model: TableModel, given: EncodedRows, column: int) -> MixtureHead:
    """The distribution of the value of a dequantised column given others, in closed form."""
    with one_thread():
        value = model.column_given(given, column).value
    assert value is not None  # a dequantised column has a value
    return value


def log_cell_mass(model: TableModel, rows: EncodedRows, cells: Cells) -> Tensor:
    """``(N,)``: the log-probability of the cells of a column given the others, by unit of width; 0 in other states."""
    total = torch.zeros(len(rows), dtype=torch.float64)
    given = unvalued(rows, [cells.column])
    for some in (rows.states[:, cells.column] == 0).nonzero()[:, 0].split(_ROWS):
        head = value_given(model, given.take(some), cells.column)
        values, log_slopes = (each[some, cells.column] for each in (rows.values, rows.log_slopes))
        total[some] = head.log_density_of_cells(cells.low[some], cells.high[some], values, log_slopes, cells.log_width)
    return total


class _Points(NamedTuple):
    """J values ``(J, N)`` in cells, the logs of two densities there, and of the mass ``(N,)`` of the first."""

    values: Tensor
    log_near: Tensor
    log_drawn: Tensor
    log_mass: Tensor


def _points(near: MixtureHead, low: Tensor, high: Tensor, places: Tensor) -> _Points:
    """Values at quantiles of the Gaussian with the moments of a mixture's components as they count in each cell."""
    log_masses = near.log_masses(low, high)
    log_mass = log_masses.logsumexp(1)
    shares = (log_masses - log_mass[:, None]).exp()
    mean = (shares * near.means).sum(1)
    variance = (shares * ((2 * near.log_scales).exp() + (near.means - mean[:, None]).square())).sum(1)
    one = MixtureHead(torch.zeros_like(mean)[:, None], mean[:, None], variance.log()[:, None] / 2)
    values = _truncated_quantiles(mean, variance.sqrt(), low, high, places[:, None])
    densities = (torch.stack([head.log_density(each) for each in values]) for head in (near, one))
    log_near, log_drawn = densities
    return _Points(values, log_near, log_drawn, log_mass)


def _truncated_quantiles(mean: Tensor, deviation: Tensor, low: Tensor, high: Tensor, levels: Tensor) -> Tensor:
    """``(J, N)``: quantiles of Gaussians between two ends, at ``levels: (J, 1)``."""
    first, last = (low - mean) / deviation, (high - mean) / deviation
    # In the lower tail, where the logarithms of small probabilities are exact.
    above = first > 0
    first, last = torch.where(above, -last, first), torch.where(above, -first, last)
    levels = torch.where(above, 1 - levels, levels)
    below, upto = torch.special.log_ndtr(first), torch.special.log_ndtr(last)
    log_levels = torch.logaddexp((1 - levels).log() + below, levels.log() + upto)
    z = torch.from_numpy(ndtri_exp(log_levels.numpy()))
    z = torch.where(last - first < _NARROW, first + levels * (last - first), z)
    z = torch.minimum(torch.maximum(z, first), last)
    return mean + deviation * torch.where(above, -z, z)
