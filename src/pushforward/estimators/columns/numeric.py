"""Guesses of the kind of a column of numbers: atoms, few values, integers, bounds, and real numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pushforward.array_types import Array
from pushforward.errors import DataError
from pushforward.estimators.columns.atoms import find_atoms, find_repeated, fractions_of_atoms
from pushforward.estimators.columns.categories import Category
from pushforward.estimators.columns.continuous import MAX_KNOWN, MOST_CELLS, Bounded, Grid, Periodic, Real
from pushforward.estimators.columns.frequencies import find_frequency_scale
from pushforward.estimators.columns.grids import Steps, find_grid, whole_steps
from pushforward.estimators.columns.hints import Hint
from pushforward.estimators.columns.interval import Interval
from pushforward.estimators.columns.kinds import Kind
from pushforward.estimators.columns.standard import Distinct, Standard

# The least and the largest number of a type.
Limits = tuple[float, float]

_LARGEST = 1e300
# Rows enough to say that a quantity is bounded, and the gain in nats a row of a map that says so.
_ENOUGH, _GAIN = 100, 0.1
# Values enough to compare two maps.
_SAMPLE = 10_000
# Cells of a grid whose width matters to the scale.
_COARSE = 40
# Pairs of deviations between the values and a limit of their type that bounds them.
_NEAR = 2.0
# Widths of the softplus function, in deviations of the values.
_WIDTHS = (0.25, 0.5, 1.0)
# Deviations from the median of a value that is named.
_WILD = 1_000
# How much farther from the median than every other value one is that may be a mistake.
_APART = 30
_FEW_INTEGERS, _FEW_NUMBERS = 40, 20


@dataclass(frozen=True)
class NumericGuess:
    """A kind, the atoms beside it, the reason, and a remark about content that may be a mistake."""

    kind: Any
    atoms: tuple[float, ...]
    reason: str
    remark: str = ""


def numeric_kind(
    name: str, distinct: Distinct, hint: Hint, *, limits: Limits | None, single: bool, scored: bool = True
) -> NumericGuess:
    """The kind of a column with these values.

    limits: of its type, if that is of integers. single: whether the type is float32. scored: whether it gets a density.
    """
    finite = np.isfinite(distinct.values)
    if (np.abs(distinct.values[finite]) > _LARGEST).any():
        raise DataError(f"column {name!r} has a value beyond {_LARGEST:g}; give it in a larger unit")
    if not finite.any():
        raise DataError(f"column {name!r} has no finite number; leave it out with ignore, or make its values gaps")
    few = hint.word == "" and not hint.atoms and finite.all() and _few(distinct, limits)
    if few:
        word = "whole numbers" if _whole(distinct.values) else "different values"
        reason = f"{len(distinct)} {word} in {distinct.rows:,} rows"
        return NumericGuess(Category(labels=tuple(distinct.values.tolist())), (), reason)
    atoms = find_atoms(distinct, hint, limits is not None)
    guess = _with_atoms(name, distinct, atoms, hint, limits, single)
    if not scored or guess.kind.noisy or hint.word not in ("", "positive", "bounded") or hint.atoms:
        return guess
    more = find_repeated(distinct, atoms)
    return guess if more == atoms else _with_atoms(name, distinct, more, hint, limits, single)


def _with_atoms(
    name: str, distinct: Distinct, atoms: tuple[float, ...], hint: Hint, limits: Limits | None, single: bool
) -> NumericGuess:
    """The guess with these atoms."""
    rest = distinct.where(~np.isin(distinct.values, atoms))
    if not len(rest):
        finite = np.isfinite(distinct.values)
        return NumericGuess(Category(labels=tuple(distinct.values[finite].tolist())), _infinite(distinct), "few values")
    kind, reason = _rest(name, rest, atoms, hint, limits, single)
    return NumericGuess(kind, atoms, reason + fractions_of_atoms(distinct, atoms), _remark(distinct, rest))


def _remark(distinct: Distinct, rest: Distinct) -> str:
    """A remark about infinities, or about a few values far from all others; empty without any."""
    infinite = int(distinct.counts[~np.isfinite(distinct.values)].sum())
    if infinite:
        rows = "1 row is" if infinite == 1 else f"{infinite:,} rows are"
        return f"{rows} infinite, which gets a probability of its own; make it a gap if it stands for no number"
    deviations = np.abs(rest.values - rest.quantiles((0.5,))[0]) / Standard.of(rest).scale
    ordered = np.sort(deviations)
    if len(rest) < 3 or ordered[-1] < _WILD or ordered[-1] < _APART * ordered[-2]:
        return ""
    value = rest.values[int(np.argmax(deviations))]
    return f"the value {value:g} is {ordered[-1]:.1g} deviations from the median, far from all others; is it a mistake?"


def _infinite(distinct: Distinct) -> tuple[float, ...]:
    return tuple(distinct.values[~np.isfinite(distinct.values)].tolist())


def _whole(values: Array) -> bool:
    return bool((values == np.floor(values)).all())


def _few(distinct: Distinct, limits: Limits | None) -> bool:
    """Whether a table of probabilities describes the values: they are few, each has rows enough, and none is new.

    Where a value has one row only, or the ends few, other rows will have values that this table lacks.
    """
    count, rows = len(distinct), distinct.rows
    complete = distinct.counts.min() > 1 and min(distinct.counts[0], distinct.counts[-1]) >= 3
    if limits or _whole(distinct.values):
        return (count <= 5 and rows >= 2 * count) or (count <= _FEW_INTEGERS and rows >= 8 * count and complete)
    return (count == 2 and rows >= 6) or (count <= _FEW_NUMBERS and rows >= 20 * count and complete)


def _rest(
    name: str, rest: Distinct, atoms: tuple[float, ...], hint: Hint, limits: Limits | None, single: bool
) -> tuple[Kind, str]:
    """The kind of the values that are no atoms, and the reason."""
    if hint.word == "period" and hint.low is not None and hint.high is not None:
        return _periodic(rest, hint.low, hint.high, limits)
    said = limits is not None or hint.word == "integer"
    grid = whole_steps(rest) if limits and not hint.word else Steps(1.0) if said else None
    if hint.word == "integer" and not _whole(rest.values):
        value = rest.values[rest.values != np.floor(rest.values)][0]
        raise DataError(f"column {name!r} has {value:g}, where the kind {hint.text} takes whole numbers")
    if grid is None and hint.word in ("", "positive", "bounded"):
        grid = find_grid(rest, single)
    if hint.word == "real":
        return Real(unit=Standard.of(rest)), "as you said"
    if grid is not None and np.abs(rest.values).max() > MOST_CELLS:
        return Real(unit=Standard.of(rest)), "whole numbers beyond 2^52, which double precision rounds"
    interval, reason = _interval(name, rest, atoms, hint, None if grid is None else grid.step)
    if grid is not None:
        return _grid(rest, grid, atoms, interval, reason, limits)
    interval = suited(interval, rest)
    if interval.open:
        unit = Standard.of(rest)
        reason = "numbers" if unit.tail is None else "numbers with a heavy tail" + _wild(rest, unit)
        repeats = rest.rows / len(rest)
        return Real(unit=unit), reason + (f"; each value occurs {repeats:.1f} times on average" if repeats >= 2 else "")
    line, _ = interval.encode(rest.values)
    return Bounded(interval=interval, unit=Standard.of(Distinct(line, rest.counts))), reason


def _wild(rest: Distinct, unit: Standard) -> str:
    """A remark about values far from all others, with the farthest of them; empty if there are none."""
    deviations = np.abs(rest.values - unit.location) / unit.scale
    wild = deviations > _WILD
    if not wild.any():
        return ""
    farthest = int(np.argmax(deviations))
    others = int(rest.counts[wild].sum()) - 1
    more = f" (and {others:,} more)" if others else ""
    return f"; wild: {rest.values[farthest]:g}, {deviations[farthest]:.1g} deviations from the median{more}"


def _periodic(rest: Distinct, low: float, high: float, limits: Limits | None) -> tuple[Kind, str]:
    period = high - low
    turned = Distinct.of(np.repeat(low + np.mod(rest.values - low, period), rest.counts))
    gaps = np.diff(np.append(turned.values, turned.values[0] + period))
    widest = int(np.argmax(gaps))
    step = 1.0 if limits else None
    cut = low + (turned.values[widest] + gaps[widest] / 2 - low) % period
    if step is not None:
        cut = float(np.floor(cut / step) * step) + step / 2  # between two cells
    line = np.mod(turned.values - cut, period)
    order = np.argsort(line)
    distances = Distinct(line[order], turned.counts[order])
    interval = suited(Interval(low=0.0, high=period), distances)
    unit = Standard.of(_on_line(distances, interval, step))
    kind = Periodic(low=low, high=high, cut=float(cut), step=step, interval=interval, unit=unit)
    return kind, f"as you said; the widest empty arc is {gaps[widest]:.3g}"


def _interval(
    name: str, rest: Distinct, atoms: tuple[float, ...], hint: Hint, step: float | None
) -> tuple[Interval, str]:
    """The bounds of the values, and the reason for them."""
    half = 0.5 * (step or 0.0)
    lowest, highest = float(rest.values[0]), float(rest.values[-1])
    if hint.word in ("positive", "bounded"):
        low = None if hint.low is None else hint.low - half
        high = None if hint.high is None else hint.high + half
        interval = Interval(low=low, high=high)
        for extreme in (lowest, highest):
            if not interval.contains(np.array([extreme]))[0]:
                raise DataError(f"column {name!r} has the value {extreme:g}, outside the kind {hint.text}")
        return interval, "as you said"
    below, above = rest.quantiles((0.16, 0.84))
    near = 10 * (above - below)
    under = next((a for a in reversed(atoms) if lowest - near <= a < lowest and np.isfinite(a)), None)
    over = next((a for a in atoms if highest < a <= highest + near and np.isfinite(a)), None)
    # Half a step from the atom, or from the nearest value where that is nearer than a step.
    low = None if under is None else min(under, lowest - 2 * half) + half
    high = None if over is None else max(over, highest + 2 * half) - half
    reason = _between_atoms(under, over)
    spans = (lowest < 0.05 or low == 0) and (highest > 0.95 or high == 1)
    if step is None and lowest > 0 and highest < 1 and spans and rest.rows >= _ENOUGH:
        unit = suited(Interval(low=0.0, high=1.0), rest)
        if low == 0 or high == 1 or _normality(unit, rest) > _normality(Interval(), rest) + _GAIN / 2:
            return unit, "all within 0 to 1, and near both"
    if low is None and lowest >= 0 and (lowest > 0 or step) and (positive := _positive(rest, half)):
        low, reason = -half if step else 0.0, positive
    if low is None and high is not None and (lowest > 0 or half) and 0 <= lowest < 0.1 * (high - lowest):
        low = 0.0 - half
    return Interval(low=low, high=high), reason


def _between_atoms(under: float | None, over: float | None) -> str:
    """The reason for bounds at the atoms below and above all other values; empty without any."""
    sides = [f"{word} {atom:g}" for word, atom in (("above", under), ("below", over)) if atom is not None]
    return f"all values but atoms are {' and '.join(sides)}" if sides else ""


def suited(interval: Interval, rest: Distinct) -> Interval:
    """The interval with the form of the map that makes the values closer to normal."""
    if interval.open:
        return interval
    if interval.form == "softplus":
        width = Standard.of(rest).scale
        widths = (interval.model_copy(update={"scale": max(part * width, interval.scale)}) for part in _WIDTHS)
        return max(widths, key=lambda form: _normality(form, rest))
    distance = 1.0
    if interval.high is None or interval.low is None:
        edge = interval.low if interval.high is None else interval.high
        distance = float(np.average(np.abs(rest.values - edge), weights=rest.counts))
    forms = (interval, interval.model_copy(update={"form": "probit", "scale": max(distance, np.finfo(float).tiny)}))
    return max(forms, key=lambda form: _normality(form, rest))


def _normality(interval: Interval, rest: Distinct) -> float:
    """The mean log-density of the values under a normal distribution of the encoded values, up to a constant."""
    if not np.isfinite(interval.encode(rest.values[[0, -1]])).all():
        return -np.inf
    rest = rest.thinned(_SAMPLE)
    points, slopes = interval.encode(rest.values)
    values, unit_slopes = Standard.of(Distinct(points, rest.counts)).encode(points)
    mean = np.average(values, weights=rest.counts)
    variance = np.average((values - mean) ** 2, weights=rest.counts)
    return float(np.average(slopes + unit_slopes, weights=rest.counts) - 0.5 * np.log(max(variance, 1e-300)))


def _positive(rest: Distinct, shift: float) -> str:
    """The reason to take the logarithm of positive numbers; empty where there is none."""
    if rest.rows < 20:
        return ""
    sign = "all positive" if rest.values[0] > 0 else "none negative"
    q01, q05, q50, q95, q99 = rest.quantiles((0.01, 0.05, 0.5, 0.95, 0.99)) + shift
    if q01 <= 0 or not q95 > 1.05 * q05:
        return ""

    def skew(low: float, middle: float, high: float) -> float:
        return abs(high + low - 2 * middle) / (high - low)

    if q99 / q01 >= 30 and skew(*np.log((q05, q50, q95))) < skew(q05, q50, q95):
        return f"{sign}, and 98% of rows span a factor of {q99 / q01:,.0f}"
    below, above = rest.quantiles((0.16, 0.84)) + shift
    if (
        shift == 0
        and rest.rows >= _ENOUGH
        and rest.counts[rest.values < 0.05 * (above - below)].sum() >= 0.01 * rest.rows
    ):
        return f"{sign}, and dense down to 0"
    moved = Distinct(rest.values + shift, rest.counts)
    gain = _normality(Interval(low=0.0), moved) - _normality(Interval(), moved)
    if rest.rows >= _ENOUGH and gain > _GAIN:
        return f"{sign}, with logarithms closer to normal"
    return ""


def _grid(
    rest: Distinct, grid: Steps, atoms: tuple[float, ...], interval: Interval, reason: str, limits: Limits | None
) -> tuple[Kind, str]:
    interval = _closed(interval, rest, grid, limits)
    known = tuple(rest.values.tolist()) if grid.offset and len(rest) <= MAX_KNOWN else ()
    kind = Grid(**grid._asdict(), known=known, interval=interval, unit=Standard.of(rest))
    kind = kind.model_copy(update={"skipped": kind.numbers_among(np.asarray(atoms))})
    squeezed = Distinct(kind.squeezed(rest.values), rest.counts)
    form = {"form": (best := suited(kind.closed_up, squeezed)).form, "scale": best.scale}
    kind = kind.model_copy(update={"interval": interval.model_copy(update=form)})
    kind = kind.model_copy(
        update={"frequencies": find_frequency_scale(Distinct(kind.cells(squeezed.values), rest.counts))}
    )
    spread = squeezed.spread(grid.step) if len(squeezed) <= _COARSE else squeezed
    kind = kind.model_copy(update={"unit": Standard.of(Distinct(kind.scaled(spread.values)[0], spread.counts))})
    if grid.step == 1:
        base = "type integer" if limits else "all whole numbers"
    elif grid.step > 1 and grid.step == np.floor(grid.step) and grid.offset == 0:
        base = f"all multiples of {grid.step:,.0f}"
    else:
        base = f"repeated values at steps of {grid.step:.4g}"
    reason += "" if kind.frequencies is None else "; some values are commoner than those around them"
    return kind, f"{base}, {len(rest):,} different" + (f"; {reason.removeprefix('; ')}" if reason else "")


def _closed(interval: Interval, rest: Distinct, grid: Steps, limits: Limits | None) -> Interval:
    """The interval with the bounds of numbers that cannot be negative, and those of a type that the values come near.

    limits: of a type of integers.
    """
    low, high, half = interval.low, interval.high, grid.step / 2
    below, above = rest.quantiles((0.16, 0.84))
    near = _NEAR * (above - below)
    if limits is not None and high is None and limits[1] <= rest.values[-1] + near:
        high = limits[1] + 0.5
    if limits is not None and low is None and limits[0] >= rest.values[0] - near:
        low = limits[0] - 0.5
    if low is None and rest.values[0] >= 0:
        # The least value of the grid that is not negative.
        low = grid.offset + np.ceil(-grid.offset / grid.step - 1e-6) * grid.step - half
        if high is None:
            return Interval(low=low, form="softplus", scale=half)
    return Interval(low=low, high=high)


def _on_line(distinct: Distinct, interval: Interval, step: float | None) -> Distinct:
    """The encoded values, those of few cells spread over them."""
    spread = distinct.spread(step) if step is not None and len(distinct) <= _COARSE else distinct
    return Distinct(interval.encode(spread.values)[0], spread.counts)
