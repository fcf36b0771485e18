"""Values of columns in ``--given`` for the model of a table, in the types of its columns."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow

from pushforward.cli.table_rows import read_rows
from pushforward.error_messages import did_you_mean
from pushforward.errors import DataError, OptionError
from pushforward.estimators.columns.arrow_types import is_time
from pushforward.estimators.columns.column import Column
from pushforward.estimators.columns.plan import ColumnPlan
from pushforward.estimators.columns.tables import read_table
from pushforward.estimators.conditioning import possible_row


def given_rows(plan: ColumnPlan, given: Sequence[str], refuse: bool) -> Any | None:
    """The Arrow table of the given values: a row of ``name=value`` words, or those of a file; None for nothing.

    refuse: whether a word whose value the training rows rule out, such as an unseen label, is an error.
    """
    if not given:
        return None
    if len(given) == 1 and (os.path.exists(given[0]) or "=" not in given[0]):
        if not os.path.exists(given[0]):
            # A name such as sex is a word without its value; one such as rows.csv is a file that cannot be read.
            kind = DataError if Path(given[0]).suffix or os.sep in given[0] else OptionError
            raise kind(f"--given: COLUMN=VALUE or a file expected, but there is no file {given[0]!r}")
        table = read_rows(Path(given[0]))
        known = [name for name in table.column_names if name in plan.names]
        if not known:
            raise DataError(f"--given: {given[0]} has none of the columns of the model; it has {', '.join(plan.names)}")
        return table.select(known)
    cells: dict[str, Any] = {}
    # A value may hold a comma if its word is quoted, as in CSV.
    for word in (word for text in given for word in next(csv.reader([text], skipinitialspace=True))):
        if "=" not in word:
            raise OptionError(f"--given: column=value expected, got {word!r}")
        column, value = _assigned(plan, word)
        if column.name in cells:
            raise OptionError(f"--given: column {column.name!r} has two values")
        cells[column.name] = _cell(column, value.strip())
    table = pyarrow.table(cells)
    if not refuse:
        return table
    try:
        return pyarrow.table(dict(possible_row(plan, read_table(table)).columns))
    except (DataError, OptionError) as error:
        # Errors about the argument of this name begin with it.
        raise OptionError(f"--given: {str(error).removeprefix('given: ')}") from None


def _assigned(plan: ColumnPlan, word: str) -> tuple[Column, str]:
    """The column and the text in ``column=text``; names of columns may have an equals sign."""
    for column in sorted(plan.columns, key=lambda column: -len(column.name)):
        if word.startswith(f"{column.name}="):
            return column, word[len(column.name) + 1 :]
    names = [column.name for column in plan.columns]
    name = word.partition("=")[0].strip()
    hint = did_you_mean(name, names) or f"the model has {', '.join(names[:10])}"
    raise OptionError(f"--given: there is no column {name!r}; {hint}")


def _cell(column: Column, text: str) -> Any:
    """An array of one cell of the type of a column. No text is a gap."""
    arrow = column.arrow
    if pyarrow.types.is_dictionary(arrow):
        arrow = arrow.value_type
    if text == "":
        return pyarrow.array([None], arrow)
    try:
        if pyarrow.types.is_boolean(arrow):
            return pyarrow.array([{"true": True, "1": True, "false": False, "0": False}[text.lower()]])
        if pyarrow.types.is_integer(arrow) and "." in text:
            # A condition on an integer column may be 3.0, and a value that it cannot have is refused with its reason.
            return pyarrow.array([float(text)])
        return pyarrow.array([text]).cast(arrow)
    except (pyarrow.ArrowInvalid, KeyError, ValueError):
        wanted = "a date" if is_time(arrow) else f"a value of type {arrow}"
        raise OptionError(f"--given: column {column.name!r}: {wanted} expected, got {text!r}") from None
