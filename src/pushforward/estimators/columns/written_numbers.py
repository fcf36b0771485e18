"""Remarks about text that holds numbers or dates: a few cells that are none, or other ways of writing them."""

from __future__ import annotations

from typing import Any

import pyarrow
import pyarrow.compute as compute

from pushforward.array_types import Array
from pushforward.estimators.columns.arrow_types import flags

_NUMBER = r"^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$"
_WRITTEN = r"^\s*[-+]?[^\w\s]{0,3}\s*[-+]?\d[\d.,' _\x{00a0}]*\s*[^\w\s]{0,3}\s*$"
# Dates with the day or the month first; those that begin with the year are read.
_DATE = r"^\s*\d{1,2}[./-]\d{1,2}[./-](\d{4}|\d{2})([ T,]+\d{1,2}:\d{2}.*)?\s*$"
_MOST = 0.5


def remark_on_text(values: Any, counts: Array) -> str:
    """A remark about the distinct texts of a column that are mostly numbers or dates; empty for others.

    values: an Arrow array. counts: the number of rows with each.
    """
    numbers = flags(compute.match_substring_regex(values, _NUMBER))
    if numbers.all():
        return "the text holds numbers; give the column as numbers, or a kind such as real"
    fraction = counts[numbers].sum() / counts.sum()
    if fraction >= _MOST:
        rows, example = int(counts[~numbers].sum()), _shown(values, ~numbers)
        where = f"{example} in 1 row" if rows == 1 else f"{rows:,} rows such as {example}"
        return f"the text holds numbers, but for {where}; correct this, or make it a gap"
    dates = flags(compute.match_substring_regex(values, _DATE))
    if counts[dates].sum() / counts.sum() >= _MOST:
        return f"the text looks like dates, such as {_shown(values, dates)}; write them as YYYY-MM-DD"
    written = flags(compute.match_substring_regex(values, _WRITTEN))
    if counts[written | numbers].sum() / counts.sum() < _MOST:
        return ""
    return f"the text looks like numbers, such as {_shown(values, written)}; write them with digits and a point alone"


def _shown(values: Any, mask: Array) -> str:
    """The first of the values for which the mask is true."""
    return repr(values.filter(pyarrow.array(mask))[0].as_py()[:30])
