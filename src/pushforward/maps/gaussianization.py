"""Knots of the monotone curve that makes a sample of one coordinate normal, smoothed to generalise to new rows.

In the middle of the sample a kernel density estimate on a grid gives the curve ``ndtri(F(x))`` and its slope ``f(x) /
phi(ndtri(F(x)))``. The width of the kernel is chosen for each coordinate by the leave-one-out likelihood of its rows; a
coordinate for which no width beats the standard normal is not changed. Each tail, of a few rows, is a straight line
with the most likely slope.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pushforward.maps.stored_spline import Knots
from pushforward.precision import in_float64

# Cells of the grid between the tails, and of the margin on either side whose rows still count for the density inside.
_CELLS, _MARGIN = 400, 60
# Candidate widths of the kernel, relative to the optimal width for normal data.
_WIDTHS = (0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.4)
# Smallest number of rows of a tail, and its smallest fraction of all rows; neither tail takes more than a fifth.
_TAIL_ROWS, _TAIL_PART = 10, 0.002
# Pseudo-observations from a standard normal, in addition to the rows.
_PSEUDO_ROWS = 1.0
_LOG_2PI = math.log(2 * math.pi)
_STEEPEST = 1e3


def normal_scores(v: Tensor, bins: int, damping: float = 0.0) -> Knots:
    """Knots (D, bins + 1) of curves that take each column of ``v: (N, D)`` to a standard normal; all in float64.

    damping: fraction of the identity in the curves. ``bends`` is False where the curve does not raise the likelihood,
    for fewer than 10 rows, and for a constant column.
    """
    digits = torch.finfo(v.dtype).eps
    v = in_float64(v)
    count = v.shape[0]
    tail = min(max(_TAIL_ROWS, math.ceil(_TAIL_PART * count)), count // 5)
    if tail < 2:
        even = torch.linspace(-1, 1, bins + 1, dtype=v.dtype, device=v.device).expand(v.shape[1], -1)
        return Knots(even, even, torch.ones_like(even), v.new_zeros(v.shape[1], dtype=torch.bool))
    ordered = v.sort(0).values
    low, high = ordered[tail], ordered[count - 1 - tail]
    extent = high - low
    varies = extent > digits * torch.maximum(low.abs(), high.abs())
    extent = torch.where(varies, extent, 1.0)
    outside = (tail + 0.5) / count
    reach = -float(torch.special.ndtri(torch.tensor(outside, dtype=torch.float64)))
    density, gain = _density(v, low, extent, reach)
    edges = torch.cat([density.new_zeros(1, v.shape[1]), density.cumsum(0)])
    y = torch.special.ndtri(outside + (1 - 2 * outside) * (edges / edges[-1]))
    # At an edge, the mean of the cells on its two sides.
    padded = torch.cat([density[:1], density, density[-1:]])
    at_edges = (padded[1:] + padded[:-1]) / 2 / density.sum(0) * (1 - 2 * outside)
    slopes = at_edges * (_CELLS / extent) * (0.5 * (y.square() + _LOG_2PI)).exp()
    chosen = _chosen(y, bins)
    x = low + extent * (chosen.to(v.dtype) / _CELLS)
    y, slopes = y.gather(0, chosen), slopes.gather(0, chosen)
    below, gain_below = _tail_slope(-ordered[:tail].flip(0), -x[0], -y[0], extent / (2 * reach))
    above, gain_above = _tail_slope(ordered[count - tail :], x[-1], y[-1], extent / (2 * reach))
    slopes = torch.cat([below[None], slopes[1:-1], above[None]]).clamp(1 / _STEEPEST, _STEEPEST)
    bends = varies & (gain + gain_below + gain_above > 0)
    y, slopes = torch.lerp(y, x, damping), slopes + damping * (1 - slopes)
    return Knots(x.T, y.T, slopes.T, bends)


def _density(v: Tensor, low: Tensor, extent: Tensor, reach: float) -> tuple[Tensor, Tensor]:
    """The expected number of rows in each cell between the tails, (cells, D), and the gain in leave-one-out
    log-likelihood over a standard normal, summed over the rows there."""
    cells, columns = _CELLS + 2 * _MARGIN, v.shape[1]
    place = ((v - low) / extent * _CELLS).floor().clamp(-_MARGIN - 1, _CELLS + _MARGIN) + _MARGIN + 1
    flat = place.long() + (cells + 2) * torch.arange(columns, device=v.device)
    counts = torch.bincount(flat.flatten(), minlength=(cells + 2) * columns).reshape(columns, -1).T[1:-1].to(v.dtype)
    inside = counts[_MARGIN : _MARGIN + _CELLS]
    centres = (torch.arange(_CELLS, dtype=v.dtype, device=v.device) + 0.5) / _CELLS
    scores = reach * (2 * centres - 1)
    pseudo = _PSEUDO_ROWS * 2 * reach / _CELLS * (-0.5 * (scores.square() + _LOG_2PI)).exp()[:, None]
    steps = torch.arange(cells, device=v.device)
    between = (steps[_MARGIN : _MARGIN + _CELLS, None] - steps).abs()
    best = torch.full_like(low, -math.inf)
    density = torch.zeros_like(inside)
    for part in _WIDTHS:
        width = max(0.7, part * 1.06 * v.shape[0] ** -0.2 * _CELLS / (2 * reach))
        kernel = (-0.5 * (steps.to(v.dtype) / width).square()).exp() / (math.sqrt(2 * math.pi) * width)
        smooth = kernel[between] @ counts + pseudo
        others = (smooth - kernel[0]).clamp(min=pseudo)
        score = (inside * others.log()).sum(0)
        better = score > best
        best, density = torch.where(better, score, best), torch.where(better, smooth, density)
    x = low + extent * centres[:, None]
    normal = (inside * (-0.5 * (x.square() + _LOG_2PI) + (extent / _CELLS).log())).sum(0)
    return density, best - inside.sum(0) * math.log(v.shape[0] - 1 + _PSEUDO_ROWS) - normal


def _chosen(y: Tensor, bins: int) -> Tensor:
    """The edges of cells chosen as knots, (bins + 1, D), evenly spaced along the curve ``y: (cells + 1, D)``. Its
    length counts x and y equally, so that flat and steep pieces both get knots."""
    cells = len(y) - 1
    steps = torch.arange(bins + 1, device=y.device)
    way = (y - y[0]) / (y[-1] - y[0]) + torch.arange(cells + 1, device=y.device)[:, None] / cells
    wanted = (2 * steps / bins).to(y.dtype).expand(y.shape[1], -1).contiguous()
    edges = torch.searchsorted(way.T.contiguous(), wanted).T
    # Knots are distinct, and each leaves enough edges for those that follow.
    edges = (edges - steps[:, None]).cummax(0).values.clamp(0, cells - bins) + steps[:, None]
    return torch.cat([torch.zeros_like(edges[:1]), edges[1:-1], torch.full_like(edges[:1], cells)])


def _tail_slope(rows: Tensor, x: Tensor, y: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """The slope of an upper tail, ``y + slope (v - x)`` for its rows ``v: (M, D)``, and its gain over the identity.

    Of the log-likelihood ``sum log(slope) - (y + slope e)^2 / 2`` the maximum is the root of a quadratic. Three
    pseudo-observations, as far out as normal rows of that ``scale`` would be, keep it bounded.
    """
    excess = (rows - x).clamp(min=0)
    hazard = (-0.5 * (y.square() + _LOG_2PI)).exp() / torch.special.ndtr(-y)
    pseudo = 3 * _PSEUDO_ROWS
    first = excess.sum(0) + pseudo * (hazard - y) * scale
    second = excess.square().sum(0) + pseudo * (1 + y * (y - hazard)) * scale.square()
    count = len(rows) + pseudo
    slope = 2 * count / (y * first + ((y * first).square() + 4 * second * count).sqrt())
    moved = slope.log() - 0.5 * (y + slope * excess).square()
    return slope, (moved + 0.5 * rows.square()).sum(0) - 1
