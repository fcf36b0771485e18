"""Samples from the model of a table, in blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow

from pushforward.cli.output import require_output
from pushforward.cli.parameters import Running
from pushforward.cli.progress import show_progress
from pushforward.cli.table_conditions import given_rows
from pushforward.cli.table_models import load_table_model, rows_for
from pushforward.cli.typed_output import TYPED, open_typed
from pushforward.errors import OptionError
from pushforward.estimators.columns.tables import Table
from pushforward.estimators.density import FlowDensity
from pushforward.estimators.input_tables import block_table
from pushforward.estimators.possible_cells import possible_cells
from pushforward.estimators.regressor import FlowRegressor

# Rows that are drawn together: fewer given something, where each takes several proposals.
_BLOCK, _GIVEN_BLOCK = 50_000, 4_000


def run_table_sample(
    path: Path, n: int, given: Sequence[str], *, out: Path | None, complete: bool, force: bool, running: Running
) -> None:
    """Sample and write; see `pushforward.cli.sample.sample`."""
    require_output(out, TYPED, force)
    if n < 1:
        raise OptionError(f"n must be at least 1, got {n}")
    model = load_table_model(path, running)
    conditions = given_rows(model.plan_, given, refuse=isinstance(model, FlowDensity))
    if isinstance(model, FlowRegressor) and conditions is None:
        raise OptionError(
            "this model draws its targets for given columns: set --given FILE or --given column=value,... "
            f"({', '.join(column.name for column in model.plan_.columns)})"
        )
    random = np.random.RandomState(running.chosen_seed % 2**32)
    total = n * (1 if conditions is None else len(conditions))
    with open_typed(out) as write, show_progress("sampling", total) as advance:
        for block in _blocks(model, n, conditions, random):
            write(_completed(model, block, random) if complete else block)
            advance(len(block))


def _blocks(
    model: FlowDensity | FlowRegressor, n: int, conditions: Any | None, random: np.random.RandomState
) -> Iterator[Any]:
    if conditions is None:
        assert isinstance(model, FlowDensity)  # a regressor has conditions
        for start in range(0, n, _BLOCK):
            yield _arrow(model.sample(min(_BLOCK, n - start), random_state=random, first_row=start))
        return
    rows, drawn = max(1, _GIVEN_BLOCK // n), 0
    for first in range(0, len(conditions), rows):
        part = conditions.slice(first, rows)
        known = possible_cells(model.plan_, _known(model, part, first))
        for start in range(0, n, _GIVEN_BLOCK):
            count = min(_GIVEN_BLOCK, n - start)
            if isinstance(model, FlowDensity):
                yield _arrow(model.sample(count, given=known, random_state=random, first_row=drawn))
            else:
                yield _with_targets(model, part, known, count, random)
            drawn += count * len(part)


def _known(model: FlowDensity | FlowRegressor, given: Any, first: int) -> Table:
    """The given rows, in which a regressor needs all columns that it predicts from."""
    if isinstance(model, FlowRegressor):
        missing = [name for name in model.plan_.names if name not in given.column_names]
        if missing:
            shown = ", ".join(missing[:10]) + (f" and {len(missing) - 10} more" if len(missing) > 10 else "")
            raise OptionError(f"--given: values of all columns are needed, but {shown} have none; COLUMN= is a gap")
        return rows_for(model.plan_, given, "--given", first)
    return block_table(given, model.plan_, first)


def _with_targets(model: FlowRegressor, given: Any, known: Table, count: int, random: np.random.RandomState) -> Any:
    """The given rows, each ``count`` times, with draws of the targets beside them."""
    draws = model.sample(known, count, random_state=random).reshape(len(given) * count, -1)
    repeated = given.take(np.repeat(np.arange(len(given)), count))
    for place, column in enumerate(model.target_plan_.columns):
        repeated = repeated.append_column(column.name, pyarrow.array(draws[:, place]).cast(column.arrow, safe=False))
    return repeated


def _completed(model: FlowDensity | FlowRegressor, block: Any, random: np.random.RandomState) -> Any:
    if not isinstance(model, FlowDensity):
        raise OptionError("--complete is for a FlowDensity; this folder holds a FlowRegressor")
    return model.impute(rows_for(model.plan_, block, "the samples"), random_state=random)


def _arrow(table: Any) -> Any:
    """A table of the form of the training table as an Arrow table."""
    import narwhals

    if isinstance(table, dict):
        return pyarrow.table(table)
    if isinstance(table, np.ndarray):
        return pyarrow.table({f"x{i}": column for i, column in enumerate(table.T)})
    return narwhals.from_native(table).to_arrow()
