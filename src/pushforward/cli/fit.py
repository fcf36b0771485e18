"""`pushforward fit`: data in, a saved model and its report out."""

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
        Parameter(group=MODEL, help="NAME=VALUE of the architecture, as hidden=64,64; may be given often."),
    ] = None,
    training: Annotated[
        list[str] | None,
        Parameter(group=MODEL, help="NAME=VALUE of the training, as lr=5e-4; may be given often."),
    ] = None,
    config: Annotated[
        Path | None,
        Parameter(group=MODEL, help="TOML file with the same names, [option] and [training]; the command line wins."),
    ] = None,
) -> int:
    """Fit a flow to data and save it, with a report.

    Rows are divided into training, validation and test: the published test part where there is one, --test FILE, or
    80/10/10 by the seed. Test rows never steer training. What is not said is chosen to suit the data. Ctrl-C ends
    training and saves the best model so far.
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
