"""Arrow types by name, for JSON, and the conversion of Arrow arrays to numbers and back."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow
from pyarrow import types

from pushforward.array_types import Array
from pushforward.errors import DataError

_PARTS = re.compile(r"(timestamp|decimal128|dictionary)\[([\w-]+)(?:, ?([\w/+:-]+))?\]")


def type_name(arrow: Any) -> str:
    """The name of a type, which `type_of` reads: ``"int64"``, ``"timestamp[us, UTC]"``, ``"dictionary[string]"``."""
    if types.is_dictionary(arrow):
        return f"dictionary[{arrow.value_type}]"
    if types.is_decimal(arrow):
        return f"decimal128[{min(arrow.precision, 38)}, {arrow.scale}]"
    if types.is_timestamp(arrow) and arrow.tz:
        return f"timestamp[{arrow.unit}, {arrow.tz}]"
    return str(arrow)


def type_of(name: str) -> Any:
    """The type with a name of `type_name`. Raises DataError for any other text."""
    try:
        if match := _PARTS.fullmatch(name):
            family, first, second = match.groups()
            if family == "timestamp":
                return pyarrow.timestamp(first, second)
            if family == "decimal128":
                return pyarrow.decimal128(int(first), int(second))
            return pyarrow.dictionary(pyarrow.int32(), type_of(first))
        return pyarrow.type_for_alias(name)
    except (ValueError, TypeError):
        raise DataError(f"a column has the type {name[:40]!r}, which is not known here") from None


def is_number(arrow: Any) -> bool:
    return bool(types.is_integer(arrow) or types.is_floating(arrow) or types.is_decimal(arrow))


def is_time(arrow: Any) -> bool:
    return bool(types.is_temporal(arrow)) and not types.is_interval(arrow)


def is_text(arrow: Any) -> bool:
    return bool(types.is_string(arrow) or types.is_large_string(arrow) or types.is_string_view(arrow))


def plain(array: Any) -> Any:
    """The values of a dictionary-encoded array, and any other array unchanged."""
    return array.dictionary_decode() if types.is_dictionary(array.type) else array


def flags(array: Any) -> Array:
    """The truth of an array of booleans as ``(N,)`` bool, False for null."""
    return np.asarray(array.fill_null(False).to_numpy(zero_copy_only=False), dtype=bool)


def to_numbers(array: Any) -> Array:
    """The numbers of an array as ``(N,)`` float64, NaN for null; of times, the counts of their unit."""
    arrow = array.type
    if types.is_decimal(arrow):
        array = array.cast(pyarrow.float64(), safe=False)
    elif types.is_boolean(arrow):
        array = array.cast(pyarrow.uint8())
    elif is_time(arrow):
        array = counts_of_unit(array)
    return np.asarray(array.to_numpy(zero_copy_only=False), dtype=np.float64)


def from_numbers(numbers: Array, arrow: Any) -> Any:
    """An array of the given type from ``(N,)`` float64, rounded and clipped to the range of an integer type."""
    if types.is_integer(arrow):
        limits = np.iinfo(arrow.to_pandas_dtype())
        least, most = float(limits.min), float(limits.max)
        if int(most) > limits.max:
            most = float(np.nextafter(most, 0))
        whole = np.clip(np.rint(np.nan_to_num(numbers)), least, most)
        return pyarrow.array(whole.astype(arrow.to_pandas_dtype()), arrow)
    if types.is_boolean(arrow):
        return pyarrow.array(numbers != 0)
    if is_time(arrow):
        return from_counts(np.rint(numbers).astype(np.int64), arrow)
    if types.is_floating(arrow):
        dtype = arrow.to_pandas_dtype()
        largest = float(np.finfo(dtype).max)
        kept = np.where(np.isfinite(numbers), np.clip(numbers, -largest, largest), numbers)
        return pyarrow.array(kept.astype(dtype), arrow)
    return pyarrow.array(numbers).cast(arrow, safe=False)


def counts_of_unit(times: Any) -> Any:
    """Dates, times and durations as int64 counts of their unit."""
    narrow = types.is_date32(times.type) or types.is_time32(times.type)
    return (times.cast(pyarrow.int32()) if narrow else times).cast(pyarrow.int64())


def from_counts(counts: Array, arrow: Any) -> Any:
    """Dates, times or durations from int64 counts of their unit."""
    if types.is_date32(arrow) or types.is_time32(arrow):
        return pyarrow.array(counts.astype(np.int32)).cast(arrow)
    return pyarrow.array(counts).cast(arrow)


def first_of_each(values: Any, places: Array) -> Array:
    """Those of the ascending ``places: (K,)`` of an Arrow array at which a value occurs first among them."""
    codes = values.take(pyarrow.array(places)).dictionary_encode().indices.to_numpy(zero_copy_only=False)
    return np.asarray(places[np.sort(np.unique(np.nan_to_num(codes, nan=-1), return_index=True)[1])])
