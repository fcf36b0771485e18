"""Scores of the rows of a file under the model of a table, in blocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow

from pushforward.array_types import Array
from pushforward.cli.fit_facts import training_rows_note
from pushforward.cli.output import require_output
from pushforward.cli.parameters import Running
from pushforward.cli.progress import show_progress, tell
from pushforward.cli.table_models import load_table_model, rows_for
from pushforward.cli.table_rows import read_row_blocks
from pushforward.cli.typed_output import TYPED, open_typed
from pushforward.data.reading import naming
from pushforward.errors import DataError, OptionError
from pushforward.estimators.columns.plan import ColumnPlan
from pushforward.estimators.columns.tables import Table, read_table
from pushforward.estimators.density import FlowDensity
from pushforward.estimators.regressor import FlowRegressor
from pushforward.estimators.table_estimator import table_weights
from pushforward.evaluation.scores import RunningSummary, remark_on_few

# Rows that are scored in a few seconds, after which the progress shows.
_BLOCK = 5_000


def run_table_score(
    path: Path, name: str, *, out: Path | None, explain: bool, marginal: bool, force: bool, running: Running
) -> None:
    """Score and write; see `pushforward.cli.score.score`."""
    require_output(out, TYPED, force)
    model = load_table_model(path, running)
    if explain and not isinstance(model, FlowDensity):
        raise OptionError("--explain is for a FlowDensity; this folder holds a FlowRegressor")
    if marginal and not isinstance(model, FlowDensity):
        raise OptionError("--marginal is for a FlowDensity; this folder holds a FlowRegressor")
    totals, problem = _Totals(), ""
    with open_typed(out) as write, show_progress("scoring", None) as advance:
        for block in read_row_blocks(Path(name), _BLOCK):
            if isinstance(model, FlowDensity):
                scores, columns = _density_scores(model, block, name, explain=explain, marginal=marginal)
                if not problem and not marginal and np.isneginf(scores).any():
                    problems = model.plan_.problems(rows_for(model.plan_, block, name, totals.rows), limit=1)
                    problem = problems[0].sentence if problems else ""
            else:
                scores, columns = _target_scores(model, block, totals.rows, name)
            rows = pyarrow.array(np.arange(totals.rows, totals.rows + len(scores)))
            write(pyarrow.table({"row": rows, **columns}))
            totals.add(scores, _weights(model.plan_, block))
            advance(len(scores))
    totals.tell(problem)
    if note := training_rows_note(path, Path(name)):
        tell(f"note: {note}")


def _density_scores(
    model: FlowDensity, block: Any, name: str, *, explain: bool, marginal: bool
) -> tuple[Array, dict[str, Array]]:
    """The scores of a block, and the columns of its output."""
    rows = _known(model, block, name) if marginal else rows_for(model.plan_, block, name)
    with naming(name):
        parts = model.score_parts(rows, marginal=marginal)
    total = parts.discrete + parts.continuous
    columns: dict[str, Any] = {"discrete": parts.discrete, "continuous": parts.continuous, "log_density": total}
    if explain:
        columns |= lowest_columns(model, rows_for(model.plan_, block, name))
    return total, columns


def _weights(plan: ColumnPlan, block: Any) -> Array | None:
    """The weights of the rows of a block; None where the plan or the block has no column of weights."""
    column = plan.weight_column
    return table_weights(plan, read_table(block.select([column]))) if column in block.column_names else None


def _known(model: FlowDensity, block: Any, name: str) -> Table:
    """The columns of the model that a block has."""
    known = [column for column in model.plan_.names if column in block.column_names]
    if not known:
        raise DataError(f"{name} has none of the columns of the model, {', '.join(model.plan_.names)}")
    return read_table(block.select(known))


def lowest_columns(model: FlowDensity, rows: Table) -> dict[str, Any]:
    """For each row the column whose value agrees least with the others, and the lowest number of `explain`, in nats.

    A value that no training row could have is the lowest. A row that only a column left out of the density makes
    impossible has none.
    """
    nats = model.explain(rows)
    names = nats.column_names
    matrix = np.stack([nats.column(name).to_numpy() for name in names], 1)
    at, none = matrix.argmin(1), (matrix == 0).all(1)
    return {
        "lowest_column": pyarrow.array(np.asarray(names)[at].tolist(), mask=none),
        "contribution": pyarrow.array(matrix[np.arange(len(matrix)), at], mask=none),
    }


def _target_scores(model: FlowRegressor, block: Any, first: int, name: str) -> tuple[Array, dict[str, Array]]:
    targets = [column.name for column in model.target_plan_.columns]
    absent = [target for target in targets if target not in block.column_names]
    if absent:
        shown = ", ".join(absent)
        raise DataError(f"{name}: scores are densities of the targets, but {shown} are missing; `predict` needs none")
    rows = rows_for(model.plan_, block, name, first)
    with naming(name):
        total = model.log_density(rows, block.select(targets))
    return total, {"log_density": total}


class _Totals:
    """The scores of all blocks so far."""

    def __init__(self) -> None:
        self.rows, self.impossible = 0, 0
        self.summary = RunningSummary()

    def add(self, scores: Array, weights: Array | None) -> None:
        possible = scores > -np.inf
        self.rows += len(scores)
        self.impossible += int((~possible).sum())
        self.summary.add(scores[possible], None if weights is None else weights[possible])

    def tell(self, problem: str) -> None:
        """Print the mean, and the number of rows of density zero."""
        mean = self.summary.summary()
        if mean.mean is not None:
            error = "" if mean.standard_error is None else f" +- {mean.standard_error:.4f}"
            tell(f"{mean.rows:,} rows: mean log-density {mean.mean:.4f}{error} nats")
            if remark := remark_on_few(mean.rows, "rows"):
                tell(f"note: {remark}")
        if self.impossible:
            first = f"; the first: {problem}" if problem else ""
            tell(f"note: {self.impossible:,} of {self.rows:,} rows have a density of 0 and are not in the mean{first}")
