"""Columns that are determined by others: equal columns, and exact linear combinations of numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow
import pyarrow.compute as compute
from scipy.special import gammaln

from pushforward.array_types import Array
from pushforward.estimators.columns.arrow_types import is_number, is_text, plain, to_numbers
from pushforward.estimators.columns.column import missing_cells
from pushforward.estimators.columns.left_out import Copy

# Rows on which relations are sought, before all rows confirm them, and rows that exceed the terms of a formula.
_ROWS, _SURPLUS = 2_000, 10
_SEED = 20
# A residual of this size, relative to the column, is no residual.
_RANK = 1e-7
# The log of the odds against a relation by chance, for one pair of columns.
_LEAST_SURPRISE = 13.0


def find_copies(columns: Mapping[str, Any], keep: Sequence[str] = ()) -> dict[str, Copy]:
    """The columns that others determine, with their formulas in columns that stay. ``keep`` always stay."""
    order = [*(name for name in columns if name in keep), *(name for name in columns if name not in keep)]
    least = _LEAST_SURPRISE + 2 * np.log(max(len(columns), 1))
    copies: dict[str, Copy] = {}
    seen: dict[bytes, str] = {}
    for name in order:
        key = _fingerprint(columns[name])
        if key in seen and name not in keep and _surprise(columns[name]) >= least:
            copies[name] = Copy(of=(seen[key],))
        else:
            seen.setdefault(key, name)
    numeric = [name for name in order if name not in copies and is_number(columns[name].type)]
    groups: dict[bytes, list[str]] = {}
    for name in numeric:
        missing = missing_cells(columns[name])
        groups.setdefault(missing.tobytes() if missing.any() else b"", []).append(name)
    for names in groups.values():
        for name, copy in _combinations(names, columns, keep).items():
            if _surprise(columns[name]) >= least + (len(copy.of) - 1) * np.log(max(len(columns), 1)):
                copies[name] = copy
    return copies


def _surprise(array: Any) -> float:
    """The log of the number of orders of the cells of a column, one of which a relation holds for by chance."""
    counts = compute.value_counts(plain(array)).field("counts").to_numpy(zero_copy_only=False)
    return float(gammaln(counts.sum() + 1) - gammaln(counts + 1).sum())


def _fingerprint(array: Any) -> bytes:
    """A digest of the content: equal for equal numbers of different types, and for equal text."""
    array = plain(array)
    digest = hashlib.sha256()
    if is_number(array.type):
        numbers = to_numbers(array) + 0.0
        numbers[np.isnan(numbers)] = np.nan
        digest.update(b"number")
        digest.update(np.ascontiguousarray(numbers).data)
        return digest.digest()
    missing = missing_cells(array)
    family = b"text" if is_text(array.type) else str(array.type).encode()
    digest.update(family)
    digest.update(missing.tobytes())
    if is_text(array.type):
        # Places in the order of first appearance say which rows agree; the labels say on what.
        encoded = array.dictionary_encode()
        digest.update(encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).tobytes())
        digest.update(repr(encoded.dictionary.to_pylist()).encode())
    else:
        digest.update(np.nan_to_num(to_numbers(array)).tobytes())
    return digest.digest()


def _combinations(names: list[str], columns: Mapping[str, Any], keep: Sequence[str]) -> dict[str, Copy]:
    """Columns with the same gaps that are linear combinations of earlier ones."""
    missing = missing_cells(columns[names[0]])
    present = np.flatnonzero(~missing)
    if len(names) < 2 or len(present) < _SURPLUS + 2:
        return {}
    wanted = max(_ROWS, 2 * len(names))
    chosen = present
    if len(present) > wanted:
        places = np.random.default_rng(_SEED).permutation(len(present))[:wanted]
        chosen = present[np.sort(places)]
    sample = np.stack([_taken(columns[name], chosen) for name in names], 1)
    usable = np.isfinite(sample).all(1)
    # Repeated rows show no more than one of them.
    sample = np.unique(sample[usable], axis=0)
    if len(sample) < _SURPLUS + 2:
        return {}
    basis, found = _basis(sample, [name in keep for name in names])
    copies = {}
    for place in found:
        single = any(pyarrow.types.is_float32(columns[names[i]].type) for i in (*basis, place))
        copy = _formula(sample, [i for i in basis if i < place], place, names, single)
        if copy is not None and not copy.contradicted(columns[names[place]], columns).any():
            copies[names[place]] = copy
    return copies


def _taken(array: Any, rows: Array) -> Array:
    return to_numbers(array.take(pyarrow.array(rows)))


def _scaled(sample: Array) -> Array:
    """Columns around their medians in robust units, with rows of wild values weighted down."""
    centre = np.median(sample, axis=0)
    deviations = np.abs(sample - centre)
    scale = np.quantile(deviations, 0.7, axis=0)
    scale = np.where(scale > 0, scale, np.maximum(deviations.max(0), np.finfo(float).tiny))
    with np.errstate(over="ignore", invalid="ignore"):
        units = np.nan_to_num((sample - centre) / scale, posinf=1e300, neginf=-1e300)
    weights = 1 / (1 + np.abs(units).max(1, keepdims=True) / 10)
    return np.asarray(np.hstack([weights, units * weights]))


def _basis(sample: Array, keep: Sequence[bool]) -> tuple[list[int], list[int]]:
    """Columns independent of those before them, and columns in the span of those before them."""
    units = _scaled(sample)
    # With as many columns as rows, all would be dependent by chance.
    width = min(units.shape[1] - 1, len(units) - _SURPLUS - 1)
    triangle = np.linalg.qr(units[:, : width + 1], mode="r")
    left = np.abs(np.diagonal(triangle))[1:]
    dependent = (left <= _RANK * np.linalg.norm(units[:, 1 : width + 1], axis=0)) & ~np.asarray(keep[:width])
    return np.flatnonzero(~dependent).tolist(), np.flatnonzero(dependent).tolist()


def _formula(sample: Array, basis: list[int], place: int, names: list[str], single: bool) -> Copy | None:
    """The column ``place`` as a combination of those of the basis, with few terms and round factors."""
    units = _scaled(sample)
    weights = units[:, :1]
    target = units[:, place + 1]
    chosen = [0, *(i + 1 for i in basis)]
    factors = np.linalg.lstsq(units[:, chosen], target, rcond=None)[0]
    used = [i for i, factor in zip(basis, factors[1:], strict=True) if abs(factor) > 1e-7]
    if not used or len(used) > 1_000:
        return None
    # Again in the original units, with the columns that matter only.
    design = np.hstack([weights, sample[:, used] * weights])
    size = np.maximum(np.abs(design).max(0), np.finfo(float).tiny)
    solved = np.linalg.lstsq(design / size, sample[:, place] * weights[:, 0], rcond=None)[0] / size
    offset, *plain_factors = (_rounded(float(value), single) for value in solved)
    typical = float(np.abs(np.median(sample[:, place]))) + float(np.median(np.abs(sample[:, used])))
    if abs(offset) < 1e-9 * typical:
        offset = 0.0
    if not np.isfinite([offset, *plain_factors]).all():
        return None
    return Copy(of=tuple(names[i] for i in used), factors=tuple(plain_factors), offset=offset, single=single)


def _rounded(value: float, single: bool) -> float:
    """A factor near a short decimal number or a simple fraction as that number."""
    digits = 5 if single else 9
    short = float(f"{value:.{digits}g}")
    tolerance = 10.0 ** -(digits + (0 if single else 1))
    if abs(value - short) <= tolerance * abs(value) and float(f"{value:.{digits - 3}g}") == short:
        return short
    for divisor in range(2, 61):
        if abs(value * divisor - round(value * divisor)) <= tolerance * abs(value) * divisor and round(value * divisor):
            return round(value * divisor) / divisor
    return value
