"""Parameters shared by several commands: device, data, columns of a table. Loads nothing heavy."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter, Token

from pushforward.cli.imports import import_files
from pushforward.errors import OptionError
from pushforward.preparation import COLUMNS_HELP, CONTEXT_HELP

if TYPE_CHECKING:
    import torch

DATA = Group("Data", sort_key=1)
_RUNNING = Group("Running", sort_key=2)

Model = Annotated[Path, Parameter(help="folder of a saved model.")]
Data = Annotated[str, Parameter(help="a named data set (see `pushforward data`), a file, or a folder of images.")]
Out = Annotated[
    Path | None,
    Parameter(help="file ending in .png (images), .npy, .csv, .parquet or .jsonl; default for tables: CSV to stdout."),
]
TableOut = Annotated[Path | None, Parameter(help="file ending in .csv, .parquet or .jsonl; default: CSV to stdout.")]
Rows = Annotated[
    list[int] | None,
    Parameter(consume_multiple=True, help="numbers of the example rows, counted from 0."),
]
Given = Annotated[
    tuple[str, ...],
    Parameter(
        consume_multiple=False,
        show_default=False,
        help="context of a conditional model, or columns of a table: name=value,... or a file with these columns; "
        "repeatable.",
    ),
]
Labels = Annotated[
    list[int] | None,
    Parameter(name="--class", consume_multiple=True, help="class labels to sample from."),
]
Imports = Annotated[
    tuple[Path, ...],
    Parameter(
        name="--import",
        consume_multiple=False,
        show_default=False,
        help="Python file that registers your own architecture (pushforward.flows.register). Its code is run.",
    ),
]
# Options that a run file cannot set: it must not name code to run.
COMMAND_LINE_ONLY = ("imports",)
Force = Annotated[bool, Parameter(help="replace an existing file or folder.")]
DataDir = Annotated[
    Path | None, Parameter(group=DATA, help="folder of the named data sets; default: $PUSHFORWARD_DATA.")
]


def column_names(given: Sequence[str] | None) -> tuple[str, ...] | None:
    """The column names in ``--columns`` or ``--context``, parsed as CSV: a quoted name may have a comma."""
    if given is None:
        return None
    names = tuple(name.strip() for line in csv.reader(given, skipinitialspace=True) for name in line)
    if not names or not all(names):
        raise OptionError(f"column names separated by commas expected, got {' '.join(given)!r}")
    return names


def refuse_options(given: Mapping[str, Any], reason: str) -> None:
    """Raise OptionError for the first of these options, by flag, whose value is neither None, False nor empty."""
    for flag, value in given.items():
        if value:
            raise OptionError(f"{flag} {reason}; leave it out")


def _names(_: Any, tokens: Sequence[Token]) -> tuple[str, ...] | None:
    return column_names([token.value for token in tokens])


@Parameter(name="*", group=DATA)
@dataclass(frozen=True)
class DataSource:
    """The source of data for a saved model, and the columns that replace the model's columns."""

    columns: Annotated[tuple[str, ...] | None, Parameter(converter=_names, help=COLUMNS_HELP)] = None
    context: Annotated[tuple[str, ...] | None, Parameter(converter=_names, help=CONTEXT_HELP)] = None
    data_dir: DataDir = None

    @property
    def flags(self) -> dict[str, Any]:
        """The values of the options by flag."""
        return {"--columns": self.columns, "--context": self.context, "--data-dir": self.data_dir}


@Parameter(name="*", group=_RUNNING)
@dataclass(frozen=True)
class Running:
    """Device, seed and threads of a command. None is the default in the help, and a run file can replace it."""

    device: Annotated[str | None, Parameter(help="cpu, cuda, cuda:1, ... Default: an accelerator if there is one.")] = (
        None
    )
    seed: Annotated[int | None, Parameter(help="random seed; default 0.")] = None
    threads: Annotated[
        int | None,
        Parameter(
            help="largest number of CPU threads; default: $OMP_NUM_THREADS, or the number of available processors."
        ),
    ] = None
    imports: Imports = ()

    def __post_init__(self) -> None:
        if self.threads is not None and self.threads < 1:
            raise OptionError(f"threads must be at least 1, got {self.threads}")
        if not 0 <= self.chosen_seed < 2**63:
            raise OptionError(f"seed must be 0 or above, got {self.seed}")

    @property
    def chosen_seed(self) -> int:
        return 0 if self.seed is None else self.seed

    def start(self) -> torch.device:
        """Set threads and seed, import files and return the device; raises OptionError for an unusable value."""
        import torch

        import_files(self.imports)
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        torch.manual_seed(self.chosen_seed)
        name = self.device or "auto"
        if name == "auto":
            name = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            device = torch.device(name)
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            raise OptionError(f"device {name!r} cannot be used here ({str(error).splitlines()[0]})") from None
        return device
