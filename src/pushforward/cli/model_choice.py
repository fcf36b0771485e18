"""The model that `pushforward fit` fits: an estimator of a table, or a plain flow."""

from __future__ import annotations

from pathlib import Path

from pushforward.cli.progress import tell
from pushforward.cli.run_file import Run
from pushforward.data.row_sources import holds_parts
from pushforward.errors import OptionError

_TABLES = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet")
# Options that only a model of a table has, and those that it shares with a plain flow. All others are of plain flows.
ONLY_OF_TABLES = ("kind", "target", "weight", "max_rows")
_SHARED = ("data", "out", "force", "minutes", "report", "columns", "limit", "test", "seed", "threads")


def is_of_table(run: Run) -> bool:
    """Whether the model is an estimator of a table. For a plain flow of a table in a file the reason is printed.

    Raises OptionError for options of both kinds of model, or options of tables for other data.
    """
    given = list(run.given)
    tables = [name for name in given if name in ONLY_OF_TABLES]
    flows = [name for name in given if name not in (*ONLY_OF_TABLES, *_SHARED)]
    if tables and flows:
        raise OptionError(
            f"{_flag(tables[0])} is an option of the model of a table, {_flag(flows[0])} one of a plain flow; "
            "leave one of them out"
        )
    is_table = run.data is not None and (run.data.lower().endswith(_TABLES) or holds_parts(Path(run.data).expanduser()))
    if tables and not is_table and not (run.data or ".npy").lower().endswith(".npy"):
        raise OptionError(f"{_flag(tables[0])}: a table in a file expected ({', '.join(_TABLES)}), got {run.data}")
    if is_table and flows:
        tell(f"model: a plain flow, because {_flag(flows[0])} is given; without such options it is a FlowDensity")
    return bool(tables) or (is_table and not flows)


def reason_of(run: Run) -> str:
    """Which estimator of a table is fitted, and why."""
    tables = [name for name in run.given if name in ONLY_OF_TABLES]
    if tables:
        return f"model: {'FlowDensity' if run.target is None else 'FlowRegressor'}, because {_flag(tables[0])} is given"
    return (
        "model: FlowDensity, the density of all columns; --target COLUMN predicts a column, --flow nsf_ar is a plain "
        "flow"
    )


def _flag(name: str) -> str:
    """The option as the command line has it."""
    return "--import" if name == "imports" else f"--{name.replace('_', '-')}"
