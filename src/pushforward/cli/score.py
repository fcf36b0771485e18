"""`pushforward score`: the log-likelihood of every row."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from pushforward.cli.parameters import Data, DataSource, Force, Model, Running


def score(
    model: Model,
    data: Data,
    /,
    *,
    out: Annotated[
        Path | None, Parameter(help="file ending in .csv, .parquet, .npy or .jsonl; default: CSV to stdout.")
    ] = None,
    unit: Annotated[
        Literal["nats", "bits/dim"] | None, Parameter(help="default: bits/dim for integers, as images, else nats.")
    ] = None,
    samples: Annotated[
        int,
        Parameter(
            help="draws a row of a bound, whose log-mean-exp tightens it, or of an estimate, whose mean steadies it."
        ),
    ] = 1,
    probes: Annotated[
        int | None,
        Parameter(help="of an estimate of a bound, for each draw; default: 1 for one draw, 8 for more."),
    ] = None,
    part: Annotated[
        Literal["all", "train", "validation", "test"],
        Parameter(help="rows of the data that the model was fitted to, by its split."),
    ] = "all",
    source: DataSource = DataSource(),  # noqa: B008 - frozen
    force: Force = False,
    running: Running = Running(),  # noqa: B008 - frozen
) -> None:
    """Log-likelihood of each row of data under a saved model.

    One row is written for each row of the data: its number, the value, its unit and its kind (exact, bound or
    estimate); of what is not exact the kind in words and how many draws and probes there were, for integer data the
    dequantisation that makes it a bound, and with several draws the standard error.
    Noise is keyed by the seed and the row, so that a score does not depend on the rows around it. The mean goes to
    stderr.
    """
    from pushforward.cli.scoring import run_score

    run_score(
        model,
        data,
        source,
        out=out,
        unit=unit,
        samples=samples,
        probes=probes,
        part=part,
        force=force,
        running=running,
    )
