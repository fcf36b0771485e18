"""Progress of a long job on stderr: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pushforward.errors import NearestCellWarning, UnknownCellWarning

_PLAIN_SECONDS = 10.0
# Warnings of cells that cannot be, and of those that replace them.
CELL_WARNINGS = (NearestCellWarning, UnknownCellWarning)


def tell(message: str) -> None:
    """Print a line on stderr; stdout is for results."""
    print(message, file=sys.stderr, flush=True)


@contextmanager
def tell_warnings(*kinds: type[Warning], first: int = 0, told: set[str] | None = None) -> Iterator[None]:
    """A context in which warnings of these classes are printed as notes, a line each.

    first: the number of the row of a file that is row 0 of the warnings. told: notes that are not printed again.
    """
    told = set() if told is None else told
    where = f"rows from row {first:,} on, which is row 0 here: " if first else ""
    with warnings.catch_warnings():
        for kind in kinds:
            warnings.simplefilter("always", kind)
        show = warnings.showwarning

        def show_note(message: Warning | str, category: type[Warning], *more: Any, **options: Any) -> None:
            if issubclass(category, kinds):
                if (note := f"note: {where}{message}") not in told:
                    told.add(note)
                    tell(note)
            else:
                show(message, category, *more, **options)

        warnings.showwarning = show_note
        yield


@contextmanager
def show_progress(name: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show the progress of ``total`` rows; the function that it yields is called with each number of finished rows.

    total: None where it is not known.
    """
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(name, total=total)
            yield lambda n: bar.advance(task, n)
        return
    done, last = 0, time.monotonic()

    def advance(n: int) -> None:
        nonlocal done, last
        done += n
        if time.monotonic() - last >= _PLAIN_SECONDS:
            last = time.monotonic()
            tell(f"{name}: {done:,}" if total is None else f"{name}: {done:,} of {total:,}")

    yield advance


@contextmanager
def show_fraction(name: str) -> Iterator[Callable[[str, float], None]]:
    """Show the completed fraction of a job; the function that it yields is called with the stage and the fraction."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(name, total=1.0)
            yield lambda stage, fraction: bar.update(task, completed=fraction, description=stage)
        return
    last = time.monotonic()

    def show(stage: str, fraction: float) -> None:
        nonlocal last
        if time.monotonic() - last >= _PLAIN_SECONDS:
            last = time.monotonic()
            tell(f"{name}: {fraction:.0%}, {stage}")

    yield show
