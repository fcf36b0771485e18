"""Targets by name: the columns of a table, or of a file, that a regressor predicts from the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pushforward.error_messages import advice_on
from pushforward.errors import DataError, OptionError
from pushforward.estimators.columns.column import ModelledColumn
from pushforward.estimators.columns.left_out import Copy
from pushforward.estimators.columns.plan import ColumnPlan
from pushforward.estimators.columns.relations import find_copies
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


def target_plan(targets: Table, hints: Mapping[str, str]) -> ColumnPlan:
    """The plan of the targets, none of which is left out: each is guessed as if it were the only one."""
    columns = [_modelled(name, array, hints) for name, array in targets.columns.items()]
    numbers = {column.name: targets.columns[column.name] for column in columns if _has_density(column)}
    copies = find_copies(numbers)
    marked = (_marked(column, copies[column.name]) if column.name in copies else column for column in columns)
    return ColumnPlan(rows=targets.rows, origin=targets.origin, columns=tuple(marked))


def _modelled(name: str, array: Any, hints: Mapping[str, str]) -> ModelledColumn:
    """The plan of one target; a real number where a column of a table would be left out."""
    own = {name: hints[name]} if name in hints else {}
    modelled = ColumnPlan.guess({name: array}, own).modelled
    return modelled[0] if modelled else ColumnPlan.guess({name: array}, {name: "real"}).modelled[0]


def _has_density(column: ModelledColumn) -> bool:
    """Whether a target has a density of its own, not probabilities of states or of cells."""
    return column.kind.valued and not column.kind.noisy


def _marked(column: ModelledColumn, copy: Copy) -> ModelledColumn:
    """A target with the remark that others determine it."""
    remark = f"{column.remark}; " if column.remark else ""
    remark += f"it is determined by other targets ({copy.treatment}), so that the targets have no joint density"
    return column.model_copy(update={"remark": f"{remark}; `log_density` says only how narrow the model is"[:2_000]})
