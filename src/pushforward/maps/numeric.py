"""The numeric inverse of a strictly increasing function, element by element: for maps without a closed form.

A bracket grows until it contains the root. Newton steps inside the bracket, with bisection where they do not help,
continue until they are a few units in the last place. All elements are solved at once, without gradients. Two further
Newton steps from the root are differentiable. As each step squares the error, derivatives are exact to the third order:
the two steps compute the derivatives of the implicit function theorem.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from pushforward.differentiation import decided
from pushforward.domain import REAL, Domain
from pushforward.errors import NumericsError

Increasing: TypeAlias = Callable[[Tensor], tuple[Tensor, Tensor]]
_State: TypeAlias = tuple[Tensor, ...]

# More than is ever needed: bisection takes about 120 steps from a bracket of 1e18 to the last digit of float64.
_MOST_STEPS = 300
_MOST_EXPANSIONS = 50
_WHAT = "numeric inverses"


class Search(NamedTuple):
    """How to find roots faster.

    function: equal to the one to be inverted but for rounding, and faster. bracket: ends between which the roots for
    given finite values lie.
    """

    function: Increasing
    bracket: Callable[[Tensor], tuple[Tensor, Tensor]]


def invert(
    function: Increasing,
    y: Tensor,
    domain: Domain = REAL,
    root: tuple[Tensor, Tensor] | None = None,
    search: Search | None = None,
) -> tuple[Tensor, Tensor]:
    """The ``x`` with ``function(x) = y`` and the log-slope of the inverse there, both of the shape of ``y``.

    function: returns value and log-slope, element-wise and strictly increasing on ``domain``, and onto every ``y``.
    Differentiable, also twice, with respect to ``y`` and all variables that ``function`` closes over. Accurate to a few
    units in the last place of ``x``, or as far as the rounding of ``function`` determines it. A NaN (of ``y`` or of the
    function's parameters) gives NaN; infinities, and values that ``function`` does not reach, give the ends of the
    domain. root: both results without gradients, where they are known. search: what is known for finding them.

    Raises NumericsError naming the rows where no root is found; inside ``torch.compile`` these rows are NaN.
    """
    if not torch.is_grad_enabled():
        return _root(function, y, domain, search) if root is None else root
    with torch.no_grad():
        x = (_root(function, y.detach(), domain, search) if root is None else root)[0]
    for _ in range(2):
        value, log_slope = function(x)
        # Beyond this the reciprocal slope and its derivatives overflow, and times a residual of 0 they are NaN.
        most = 0.4 * math.log(torch.finfo(x.dtype).max)
        moved = x - (value - y) * (-log_slope).clamp(max=most).exp()
        x = torch.where(moved.isfinite(), moved, x).clamp(*_ends(domain, x.dtype))
    return x, -function(x)[1]


def _root(function: Increasing, y: Tensor, domain: Domain, search: Search | None) -> tuple[Tensor, Tensor]:
    """The root and the log-slope of the inverse, without gradients."""
    finite = torch.where(y.isfinite(), y, 0.0).contiguous()
    stepped = function if search is None else search.function
    if search is None:
        low, high, missed = _bracket(function, finite, domain)
    else:
        low, high = search.bracket(finite)
        missed = torch.zeros_like(finite, dtype=torch.bool)
    # Many maps are near the identity, and a map of a domain onto itself keeps its ends: y is a good first guess.
    start = torch.where((finite >= low) & (finite <= high), finite, low + (high - low) / 2)

    def going(count: Tensor, x: Tensor, low: Tensor, high: Tensor, last: Tensor, active: Tensor) -> Tensor:
        return (count < _MOST_STEPS) & active.any()

    def step(count: Tensor, x: Tensor, low: Tensor, high: Tensor, last: Tensor, active: Tensor) -> _State:
        value, log_slope = stepped(x)
        residual = value - finite
        low, high = torch.where(residual <= 0, x, low), torch.where(residual >= 0, x, high)
        middle = _middle(low, high, domain)
        newton = x - residual * (-log_slope).exp()
        inside = (newton >= low) & (newton <= high)
        newton = newton.clamp(low, high)
        stride, eps = (newton - x).abs(), torch.finfo(x.dtype).eps
        # Each step squares the error: after one this small only rounding errors remain, which do not shrink.
        near = stride <= eps**0.6 * _room(x, domain)
        # Newton's step is used if it stays inside and is at most half of the step before; else the bracket is halved.
        useful = near | (inside & (2 * stride <= last))
        moved = torch.where(residual == 0, x, torch.where(useful, newton, middle))
        moved = torch.where(active, moved, x)
        length = torch.where(active, (moved - x).abs(), last)
        small = near | (length <= 2 * eps * (x.abs() if domain != REAL else x.abs() + 5e-4))
        return count + 1, moved, low, high, length, active & ~small & ~value.isnan()

    count = torch.zeros((), dtype=torch.long, device=y.device)
    state = (count, start, low, high, high - low, torch.ones_like(finite, dtype=torch.bool))
    _, x, _, _, _, active = _repeat(going, step, state)
    value, log_slope = function(x)
    broken = y.isnan() | value.isnan()
    failed = (active | missed | _off(x, value - finite, log_slope, finite, domain)) & ~broken & y.isfinite()
    if not (torch.compiler.is_compiling() or y.is_meta) and decided(failed.any(), _WHAT):
        raise NumericsError(_message(failed))
    x = torch.where(broken | failed, math.nan, x)
    x = torch.where(y.isinf(), torch.where(y > 0, domain.high, domain.low), x)
    if torch.compiler.is_compiling() or y.is_meta or decided(y.isinf().any(), _WHAT):
        return x, -function(x)[1]
    return x, torch.where(x.isnan(), math.nan, -log_slope)


def _least(domain: Domain, dtype: torch.dtype) -> float:
    """The smallest distance from the finite ends of ``domain`` that numbers near them can represent."""
    info = torch.finfo(dtype)
    ends = [abs(end) for end in (domain.low, domain.high) if math.isfinite(end)]
    return max(float(info.tiny), 2 * info.eps * min(ends)) if ends else 0.0


def _room(x: Tensor, domain: Domain) -> Tensor:
    """The scale of relative accuracy: the size of ``x``, or its distance from the nearest finite end of the domain."""
    if not (math.isfinite(domain.low) or math.isfinite(domain.high)):
        return x.abs() + 0.01
    room: Tensor = x - domain.low if math.isfinite(domain.low) else domain.high - x
    if math.isfinite(domain.low) and math.isfinite(domain.high):
        room = torch.minimum(room, domain.high - x)
    return room.clamp(min=_least(domain, x.dtype))


def _middle(low: Tensor, high: Tensor, domain: Domain) -> Tensor:
    """The midpoint of a bracket, geometric where a bracket next to a finite end of the domain spans a factor above 16.

    A root may lie at 1e-20: bisection from 1 reaches it after 66 steps, and geometric means after a few.
    """
    middle: Tensor = low + (high - low) / 2
    if not (math.isfinite(domain.low) or math.isfinite(domain.high)):
        return middle
    sign, end = (1.0, domain.low) if math.isfinite(domain.low) else (-1.0, domain.high)
    first, second = (low - end).abs(), (high - end).abs()
    nearer = torch.minimum(first, second).clamp(min=_least(domain, low.dtype))
    further = torch.maximum(first, second)
    by_decades = end + sign * nearer.sqrt() * further.sqrt()
    return torch.where(further > 16 * nearer, by_decades, middle)


def _off(x: Tensor, residual: Tensor, log_slope: Tensor, y: Tensor, domain: Domain) -> Tensor:
    """Where the value at a root differs from ``y`` by more than rounding, except for roots at a domain's end."""
    eps = torch.finfo(x.dtype).eps
    explained: Tensor = eps**0.5 * (1 + y.abs()) + 16 * eps * x.abs() * log_slope.exp()
    if domain == REAL:
        return residual.abs() > explained
    room = _room(x, domain)
    at_end = (room <= 4 * _least(domain, x.dtype)) | (room <= 8 * eps * x.abs())
    return (residual.abs() > explained) & ~at_end


def _bracket(function: Increasing, y: Tensor, domain: Domain) -> tuple[Tensor, Tensor, Tensor]:
    """A bracket of the root, and a mask of elements without one. An infinite end is replaced by an outward search.

    Distances grow as 2**1, 2**3, 2**6, ... times the size of y, so that a few steps reach the largest number of the
    dtype.
    """
    lowest, highest = _ends(domain, y.dtype)
    most = torch.finfo(y.dtype).max / 4
    size = 1 + y.abs()
    # Where one end is finite, the search for the other begins there.
    anchor = y if domain == REAL else torch.full_like(y, 0.0).clamp(lowest, highest)
    low = torch.full_like(y, lowest) if math.isfinite(domain.low) else (anchor - size).clamp(-most, most)
    high = torch.full_like(y, highest) if math.isfinite(domain.high) else (anchor + size).clamp(-most, most)
    if math.isfinite(domain.low) and math.isfinite(domain.high):
        return low, high, torch.zeros_like(y, dtype=torch.bool)

    def going(count: Tensor, low: Tensor, high: Tensor, below: Tensor, above: Tensor) -> Tensor:
        return (count < _MOST_EXPANSIONS) & (below | above).any()

    def grow(count: Tensor, low: Tensor, high: Tensor, below: Tensor, above: Tensor) -> _State:
        factor = torch.exp2((count + 1) * (count + 2) / 2).to(y.dtype)
        reach = (size * factor).clamp(max=most)
        # An end that lies beyond the root becomes the other end of the bracket.
        new_low = torch.where(below, (anchor - reach).clamp(min=-most), torch.where(above, high, low))
        new_high = torch.where(above, (anchor + reach).clamp(max=most), torch.where(below, low, high))
        return count + 1, new_low, new_high, *outside(new_low, new_high)

    def outside(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        never = torch.zeros_like(y, dtype=torch.bool)
        below = never if math.isfinite(domain.low) else function(low)[0] > y
        above = never if math.isfinite(domain.high) else function(high)[0] < y
        return below, above

    count = torch.zeros((), dtype=torch.long, device=y.device)
    _, low, high, below, above = _repeat(going, grow, (count, low, high, *outside(low, high)))
    return low, high, below | above


def _repeat(going: Callable[..., Tensor], step: Callable[..., _State], state: _State) -> _State:
    """``step`` repeated while ``going``: one loop operator inside a compiled graph, an ordinary loop outside."""
    if torch.compiler.is_compiling():
        # The loop operator needs equal strides of inputs and outputs, and the function may return others.
        looped: _State = torch.while_loop(going, lambda *s: tuple(t.contiguous() for t in step(*s)), state)
        return looped
    if state[0].is_meta:
        return step(*state)  # without values the loop has no end: one iteration gives every shape
    while decided(going(*state), _WHAT):
        state = step(*state)
    return state


def _ends(domain: Domain, dtype: torch.dtype) -> tuple[float, float]:
    most = torch.finfo(dtype).max
    return max(domain.low, -most), min(domain.high, most)


def _message(failed: Tensor) -> str:
    rows = (failed.flatten(1).any(1) if failed.ndim > 1 else failed.reshape(-1)).nonzero()[:, 0].tolist()
    named = ", ".join(map(str, rows[:10])) + (", ..." if len(rows) > 10 else "")
    return (
        f"the numeric inverse found no root in {len(rows)} of {failed.shape[0] if failed.ndim else 1} rows "
        f"(rows {named}); the values lie outside the range of the map, or its parameters are too extreme"
    )
