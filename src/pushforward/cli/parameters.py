"""What several commands take: where to run, which data, which part of a table. Loads nothing heavy."""

from __future__ import annotations

import csv
from collections.abc import Sequence
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
    Parameter(help="file ending in .png (images), .npy, .csv, .parquet or .jsonl; rows default to CSV on stdout."),
]
Rows = Annotated[
    list[int] | None,
    Parameter(consume_multiple=True, help="numbers of the rows to take as examples, counted from 0."),
]
Given = Annotated[
    str | None, Parameter(help="context of a conditional model: name=value,... or a file with these columns.")
]
Labels = Annotated[
    list[int] | None,
    Parameter(name="--class", consume_multiple=True, help="class labels to draw from."),
]
Imports = Annotated[
    tuple[Path, ...],
    Parameter(
        name="--import",
        consume_multiple=False,
        show_default=False,
        help="Python file that registers an architecture of yours (pushforward.flows.register). Its code is run.",
    ),
]
# Options that a run file cannot set: it must not name code to run.
COMMAND_LINE_ONLY = ("imports",)
Force = Annotated[bool, Parameter(help="replace an existing file or folder.")]
DataDir = Annotated[
    Path | None, Parameter(group=DATA, help="where named data are looked for; default: $PUSHFORWARD_DATA.")
]


def column_names(given: Sequence[str] | None) -> tuple[str, ...] | None:
    """The names in ``--columns`` or ``--context``: words are lines of CSV, so that quotes keep a comma in a name."""
    if given is None:
        return None
    names = tuple(name.strip() for line in csv.reader(given, skipinitialspace=True) for name in line)
    if not names or not all(names):
        raise OptionError(f"column names separated by commas expected, got {' '.join(given)!r}")
    return names


def _names(_: Any, tokens: Sequence[Token]) -> tuple[str, ...] | None:
    return column_names([token.value for token in tokens])


@Parameter(name="*", group=DATA)
@dataclass(frozen=True)
class DataSource:
    """Where the data for a saved model are, and which columns of theirs take the place of the model's."""

    columns: Annotated[tuple[str, ...] | None, Parameter(converter=_names, help=COLUMNS_HELP)] = None
    context: Annotated[tuple[str, ...] | None, Parameter(converter=_names, help=CONTEXT_HELP)] = None
    data_dir: DataDir = None


@Parameter(name="*", group=_RUNNING)
@dataclass(frozen=True)
class Running:
    """Where and how a command computes. None: as said in the help, so that a run file can fill it in."""

    device: Annotated[str | None, Parameter(help="cpu, cuda, cuda:1, ... Default: an accelerator if there is one.")] = (
        None
    )
    seed: Annotated[int | None, Parameter(help="of everything random; default 0.")] = None
    threads: Annotated[
        int | None,
        Parameter(help="most processor threads; default: $OMP_NUM_THREADS, or the processors that may be used."),
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
        """Set threads and seed, import files and return the device; raises OptionError for what cannot be used."""
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
