"""`pushforward report`: the report of a saved model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pushforward.cli.parameters import Data, DataSource, Model, Running, refuse_options


def report(
    model: Model,
    data: Data,
    /,
    *,
    out: Annotated[
        Path | None, Parameter(help="folder or .html file for the report; default: the folder of the model.")
    ] = None,
    test: Annotated[str | None, Parameter(help="file of test rows, if the model was fitted with one.")] = None,
    source: DataSource = DataSource(),  # noqa: B008 - frozen
    running: Running = Running(),  # noqa: B008 - frozen
) -> None:
    """Make the report of a saved model: report.html, and report.json with all its numbers.

    For the data of the fit, the test rows of its split are scored; other data get a new split. The report on other
    data, such as NEW.csv, is report-NEW.html, beside the report of the fit.

    For the model of a table: how well the model fits the rows of the file, and which of their columns differ from the
    training rows beyond chance. `fit` makes the report on the rows that it holds out.
    """
    from pushforward.cli.reading import read_for
    from pushforward.cli.reporting import page_at, print_conclusion, save_report
    from pushforward.storage import load_model
    from pushforward.storage.models import estimator_class

    if estimator_class(model) is not None:
        from pushforward.cli.table_report import run_table_report

        refuse_options({"--test": test, **source.flags}, "does not apply to the model of a table")
        run_table_report(model, Path(data), out=out, running=running)
        return
    if out is not None:
        page_at(out)
    saved = load_model(model, running.start())
    rows = read_for(
        saved,
        data,
        source,
        as_fitted=True,
        test=test,
    )
    numbers, page = save_report(saved, rows, seed=running.chosen_seed, out=out)
    print_conclusion(numbers)
    print(f"report: {page}")
