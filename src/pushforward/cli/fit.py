"""`pushforward fit`: data in, a saved model and its report out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from pushforward.cli.parameters import Columns, Context, DataDir, Force, Running, column_names

_MODEL = Group("Model and training", sort_key=0)
_DATA = Group("Data", sort_key=1)


def fit(
    data: Annotated[str | None, Parameter(help="a named data set, a file, or a folder of images.")] = None,
    /,
    *,
    out: Annotated[Path | None, Parameter(group=_MODEL, help="folder to save the model in; has to be empty.")] = None,
    force: Force = False,
    flow: Annotated[
        str | None,
        Parameter(group=_MODEL, help="see `pushforward flows`; default nsf_ar for tables, real_nvp for images."),
    ] = None,
    option: Annotated[
        list[str] | None,
        Parameter(
            group=_MODEL, negative=(), help="NAME=VALUE of the architecture, as hidden=64,64; may be given often."
        ),
    ] = None,
    training: Annotated[
        list[str] | None,
        Parameter(group=_MODEL, negative=(), help="NAME=VALUE of the training, as lr=5e-4; may be given often."),
    ] = None,
    minutes: Annotated[float | None, Parameter(group=_MODEL, help="end training after so many minutes.")] = None,
    epochs: Annotated[float | None, Parameter(group=_MODEL, help="end training after so many passes.")] = None,
    steps: Annotated[int | None, Parameter(group=_MODEL, help="end training after so many steps.")] = None,
    config: Annotated[
        Path | None,
        Parameter(group=_MODEL, help="TOML file with the same names, [option] and [training]; the command line wins."),
    ] = None,
    report: Annotated[bool | None, Parameter(group=_MODEL, help="make the report at the end (the default).")] = None,
    test: Annotated[
        str | None, Parameter(group=_DATA, help="file of test rows; default: the published ones, else a tenth.")
    ] = None,
    columns: Columns = None,
    context: Context = None,
    labels: Annotated[
        bool | None, Parameter(group=_DATA, negative=(), help="condition on the class labels of the data.")
    ] = None,
    data_dir: DataDir = None,
    bits: Annotated[
        int | None, Parameter(group=_DATA, help="images: keep the leading bits only, 5 for example.")
    ] = None,
    resize: Annotated[int | None, Parameter(group=_DATA, help="images: pixels a side after scaling.")] = None,
    crop: Annotated[
        tuple[int, int, int, int] | None,
        Parameter(group=_DATA, negative=(), help="images: rows and columns kept: TOP BOTTOM LEFT RIGHT."),
    ] = None,
    grey: Annotated[bool | None, Parameter(group=_DATA, negative=(), help="images: one channel.")] = None,
    limit: Annotated[int | None, Parameter(group=_DATA, help="use so many rows, drawn by the seed.")] = None,
    running: Running = Running(),  # noqa: B008 - frozen
) -> int:
    """Fit a flow to data and save it, with a report.

    Rows are divided into training, validation and test: the published test part where there is one, --test FILE, or
    80/10/10 by the seed. Test rows never steer training. What is not said is chosen to suit the data. Ctrl-C ends
    training and saves the best model so far.
    """
    from pushforward.cli.fitting import run_fit
    from pushforward.cli.run_file import Run, pairs

    given = {
        "data": data,
        "out": out,
        "force": force or None,
        "flow": flow,
        "option": pairs(option, "--option") or None,
        "training": pairs(training, "--training") or None,
        "minutes": minutes,
        "epochs": epochs,
        "steps": steps,
        "report": report,
        "test": test,
        "columns": column_names(columns),
        "context": column_names(context),
        "labels": labels,
        "data_dir": data_dir,
        "bits": bits,
        "resize": resize,
        "crop": crop,
        "grey": grey,
        "limit": limit,
        "device": running.device,
        "seed": running.seed,
        "threads": running.threads,
    }
    return run_fit(Run.merged(config, {name: value for name, value in given.items() if value is not None}))
