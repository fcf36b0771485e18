"""Saved models of tables for the commands that take them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pushforward.cli.parameters import Running
from pushforward.cli.table_rows import require_columns
from pushforward.errors import OptionError
from pushforward.estimators.columns.plan import ColumnPlan
from pushforward.estimators.columns.tables import Table
from pushforward.estimators.density import FlowDensity
from pushforward.estimators.input_tables import block_table
from pushforward.estimators.loading import load
from pushforward.estimators.outliers import FlowOutlierDetector
from pushforward.estimators.regressor import FlowRegressor
from pushforward.estimators.transformer import FlowTransformer


def load_table_model(path: Path, running: Running) -> FlowDensity | FlowRegressor:
    """The estimator in a folder; seed, threads and device are set. Raises ModelError for any other folder.

    Of a detector of outliers and of a transformer, it is the density on which they rest.
    """
    if running.start().type != "cpu" and running.device is not None:
        raise OptionError(f"--device {running.device}: a model of a table runs on the CPU; leave the option out")
    model = load(path)
    return model.density_ if isinstance(model, (FlowOutlierDetector, FlowTransformer)) else model


def density_of(path: Path, running: Running, command: str) -> FlowDensity:
    """The `FlowDensity` in a folder. Raises OptionError for a `FlowRegressor`, which ``command`` does not take."""
    model = load_table_model(path, running)
    if not isinstance(model, FlowDensity):
        raise OptionError(
            f"{command}: {path} holds a FlowRegressor, which knows no density of the columns that it predicts from; "
            "fit a FlowDensity, without --target"
        )
    return model


def rows_for(plan: ColumnPlan, block: Any, where: object, first: int = 0) -> Table:
    """The columns of the plan in an Arrow table from a file. Raises DataError for a modelled column that it lacks.

    first: the number of the first row in the file.
    """
    require_columns(where, block.column_names, plan.names)
    return block_table(block, plan, first)
