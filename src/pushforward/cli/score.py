"""`pushforward score`: the log-likelihood of every row."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from pushforward.cli.parameters import Data, DataSource, Force, Model, Running, refuse_options


def score(
    model: Model,
    data: Data,
    /,
    *,
    out: Annotated[
        Path | None, Parameter(help="file ending in .csv, .parquet, .npy or .jsonl; default: CSV to stdout.")
    ] = None,
    unit: Annotated[
        Literal["nats", "bits/dim"] | None,
        Parameter(help="unit; default: bits/dim for integers such as images, else nats."),
    ] = None,
    samples: Annotated[
        int,
        Parameter(
            help="draws per row: more draws tighten a bound (log-mean-exp) and reduce the error of an estimate (mean)."
        ),
    ] = 1,
    probes: Annotated[
        int | None,
        Parameter(help="trace probes per draw, for an estimate; default: 1 for one draw, 8 for more."),
    ] = None,
    part: Annotated[
        Literal["all", "train", "validation", "test"],
        Parameter(help="part of the saved split to score; only for the data of the fit."),
    ] = "all",
    strict: Annotated[
        bool, Parameter(help="refuse data with missing or infinite values; default: such rows have no score.")
    ] = False,
    explain: Annotated[
        bool, Parameter(help="model of a table: name the column that agrees least with the rest of each row.")
    ] = False,
    marginal: Annotated[
        bool, Parameter(help="model of a table: integrate out columns that the file lacks, instead of an error.")
    ] = False,
    source: DataSource = DataSource(),  # noqa: B008 - frozen
    force: Force = False,
    running: Running = Running(),  # noqa: B008 - frozen
) -> None:
    """Score data: the log-likelihood of each row under a saved model.

    The output has a row for each row of the data: its number, the value, its unit and its kind (exact, bound or
    estimate). A bound or an estimate also has its kind in words and the numbers of draws and probes. Integer data have
    the dequantisation that makes the value a bound, and several draws the standard error. Noise is keyed by the seed
    and the row, so that a score does not depend on other rows. Rows with missing or infinite values have an empty score
    (NaN in Parquet and .npy). The mean is printed on stderr. Memory does not grow with the rows of a table in a file.

    For the model of a table the output has the number of each row, the log-probability of its discrete part, the
    log-density of its continuous part, and their sum; with --explain also the column whose value agrees least
    with the others, and how many nats more likely it is given these than from another row.
    """
    from pushforward.storage.models import estimator_class

    if estimator_class(model) is not None:
        from pushforward.cli.table_scoring import run_table_score

        unused = {
            "--unit": unit,
            "--samples": samples != 1,
            "--probes": probes,
            "--part": part != "all",
            "--strict": strict,
            **source.flags,
        }
        refuse_options(unused, "does not apply to the model of a table")
        run_table_score(model, data, out=out, explain=explain, marginal=marginal, force=force, running=running)
        return
    from pushforward.cli.scoring import run_score

    refuse_options({"--explain": explain, "--marginal": marginal}, "is for the model of a table; this is a plain flow")

    run_score(
        model,
        data,
        source,
        out=out,
        unit=unit,
        samples=samples,
        probes=probes,
        part=part,
        strict=strict,
        force=force,
        running=running,
    )
