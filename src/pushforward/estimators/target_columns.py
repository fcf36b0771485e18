"""Targets by name: the columns of a table, or of a file, that a regressor predicts from the others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from pushforward.error_messages import advice_on
from pushforward.errors import DataError, OptionError
from pushforward.estimators.columns.tables import Table, read_table
from pushforward.estimators.input_tables import named, target_table


def target_names(y: Any) -> list[str] | None:
    """The names in ``y``, which is a name or a list of different names; None if it holds values."""
    if isinstance(y, str):
        return [y]
    if isinstance(y, (list, tuple)) and y and all(isinstance(name, str) for name in y) and len(set(y)) == len(y):
        return list(y)
    return None


def require_targets(names: Sequence[str], columns: Iterable[str]) -> None:
    """Raise OptionError for a name that is none of the columns, and DataError if no other columns are left."""
    known = list(columns)
    for name in names:
        if name not in known:
            raise OptionError(f"y: there is no column {name!r}; {advice_on(name, known)}")
    if len(names) == len(known):
        raise DataError(f"no columns are left to predict {', '.join(names)} from")


def separated(X: Any, y: Any) -> tuple[Any, Any]:
    """The columns to predict from, and the targets: where ``y`` holds names, these columns of the table ``X``."""
    names = target_names(y)
    if names is None or not named(X):
        if isinstance(y, str):
            raise OptionError(f"y: the name {y!r} needs columns with names in X; give a table, or y as numbers")
        return X, y
    table = read_table(X)
    require_targets(names, table.columns)
    features = {name: array for name, array in table.columns.items() if name not in names}
    return replace(table, columns=features), replace(table, columns={name: table.columns[name] for name in names})


def targets_of(y: Any, rows: int, names: Sequence[str]) -> Table:
    """The targets of new rows in the order of the fit: by ``names``, or by place where they have none of these."""
    content, _ = target_table(y, rows)
    if named(y) and any(name in content.columns for name in names):
        for name in names:
            if name not in content.columns:
                raise DataError(f"y: there is no column {name!r}; the targets are {', '.join(names)}")
        return replace(content, columns={name: content.columns[name] for name in names})
    if len(content.columns) != len(names):
        raise DataError(f"y: {len(names)} columns expected, {', '.join(names)}; got {len(content.columns)}")
    return replace(content, columns=dict(zip(names, content.columns.values(), strict=True)))
