"""`pushforward impute`: a table with its gaps filled."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pushforward.cli.parameters import Force, Model, Running, TableOut


def impute(
    model: Model,
    table: Annotated[Path, Parameter(help="a file ending in .csv, .tsv (also with .gz), .parquet or .npy.")],
    /,
    *,
    out: TableOut = None,
    draws: Annotated[int, Parameter(help="completions of each row; above 1, columns row and draw number them.")] = 1,
    force: Force = False,
    running: Running = Running(),  # noqa: B008 - frozen
) -> None:
    """Fill the gaps of a table with draws from its model, given what each row has.

    Other cells and columns stay as they are. Draws have the variance of the values that are missing, which means would
    not have: statistics of the completed table are those of a table without gaps. Several draws show their error.
    """
    from pushforward.cli.table_imputation import run_impute

    run_impute(model, table, out=out, draws=draws, force=force, running=running)
