"""`pushforward predict`: predictions for the rows of a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pushforward.cli.parameters import Force, Model, Running, TableOut


def predict(
    model: Model,
    table: Annotated[Path, Parameter(help="a file ending in .csv, .tsv (also with .gz), .parquet or .npy.")],
    /,
    *,
    target: Annotated[
        str | None, Parameter(help="column to predict, with the model of all columns (FlowDensity).")
    ] = None,
    quantiles: Annotated[str | None, Parameter(help="levels of quantiles, such as 0.05,0.5,0.95.")] = None,
    interval: Annotated[float | None, Parameter(help="coverage of the central interval to write, such as 0.9.")] = None,
    event: Annotated[
        str | None, Parameter(help='event whose probability to write, such as "income > 100000 and open".')
    ] = None,
    draws: Annotated[
        int | None,
        Parameter(
            help="draws for each row, for a probability and for a FlowDensity; default: 1000, or 400 in even steps of "
            "probability if all columns but the target are there."
        ),
    ] = None,
    out: TableOut = None,
    force: Force = False,
    running: Running = Running(),  # noqa: B008 - frozen
) -> None:
    """Predict columns of a table: means, quantiles, intervals, and probabilities of events.

    A FlowRegressor (`fit --target`) predicts its targets from the other columns, with exact quantiles. A FlowDensity
    predicts any column, --target, from the other columns that the file has, by draws; of labels it writes the
    probability of each. The output has a row for each row of the file. Rows are read in blocks.
    """
    from pushforward.cli.table_predictions import run_predict

    run_predict(
        model,
        table,
        target=target,
        quantiles=quantiles,
        interval=interval,
        event=event,
        draws=draws,
        out=out,
        force=force,
        running=running,
    )
