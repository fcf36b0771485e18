"""`pushforward fit`: fits a model to data and saves it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pushforward.cli.columns import Kinds
from pushforward.cli.parameters import DATA, column_names
from pushforward.cli.run_file import MODEL, Run, pairs


def fit(
    data: Annotated[str | None, Parameter(help="a named data set, a file, or a folder of images.")] = None,
    /,
    *,
    run: Run = Run(),  # noqa: B008 - frozen
    option: Annotated[
        list[str] | None,
        Parameter(group=MODEL, help="option NAME=VALUE of the architecture, such as hidden=64,64; repeatable."),
    ] = None,
    training: Annotated[
        list[str] | None,
        Parameter(group=MODEL, help="option NAME=VALUE of the training, such as lr=5e-4; repeatable."),
    ] = None,
    kind: Kinds = (),
    target: Annotated[
        list[str] | None,
        Parameter(group=DATA, help="model of a table: columns of numbers to predict from the others: a,b."),
    ] = None,
    config: Annotated[
        Path | None,
        Parameter(
            group=MODEL, help="TOML file with the same names, [option] and [training]; the command line has priority."
        ),
    ] = None,
) -> int:
    """Fit a model to data and save it, with the likelihood of rows that it has not seen.

    A table in a file, or a folder of its parts, gets a FlowDensity: the density of all its columns, whatever they hold
    (see `pushforward columns`), within --minutes; --target y gets a FlowRegressor, the distribution of y given the
    other columns. Of their options are --kind, --target, --weight, --columns, --limit, --max-rows, --test, --minutes
    and --seed.

    Other data, and a table with any other option (--flow, --context, --steps, ...), get a plain flow and a report.
    Rows are split into training, validation and test rows: the test rows are the published ones if there are any,
    those of --test FILE, or part of a random 80/10/10 split. Test rows never influence training. Defaults are chosen by
    the data. Ctrl-C ends training of a flow and saves the best model so far.
    """
    from pushforward.cli.model_choice import is_of_table
    from pushforward.estimators.columns.hints import parse_assignments

    chosen = run.preparation
    chosen = replace(chosen, columns=column_names(chosen.columns), context=column_names(chosen.context))
    given = replace(
        run,
        data=data,
        option=pairs(option, "--option"),
        training=pairs(training, "--training"),
        kind=parse_assignments(kind),
        target=column_names(target),
        preparation=chosen,
    ).over(config)
    if is_of_table(given):
        from pushforward.cli.table_fit import run_table_fit

        return run_table_fit(given)
    from pushforward.cli.fitting import run_fit

    return run_fit(given)
