"""`pushforward fit`: fits a flow to data, saves it and makes its report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pushforward.cli.parameters import column_names
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
    config: Annotated[
        Path | None,
        Parameter(
            group=MODEL, help="TOML file with the same names, [option] and [training]; the command line has priority."
        ),
    ] = None,
) -> int:
    """Fit a flow to data and save it, with a report.

    Rows are split into training, validation and test rows: the test rows are the published ones if there are any, those
    of --test FILE, or part of a random 80/10/10 split. Test rows never influence training. Defaults are chosen by the
    data. Ctrl-C ends training and saves the best model so far.
    """
    from pushforward.cli.fitting import run_fit

    chosen = run.preparation
    chosen = replace(chosen, columns=column_names(chosen.columns), context=column_names(chosen.context))
    given = replace(
        run,
        data=data,
        option=pairs(option, "--option"),
        training=pairs(training, "--training"),
        preparation=chosen,
    )
    return run_fit(given.over(config))
