"""Progress of a long job on stderr: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pushforward.errors import CellWarning, PushforwardWarning

_PLAIN_SECONDS = 10.0


def tell(message: str) -> None:
    """Print a line on stderr; stdout is for results."""
    print(message, file=sys.stderr, flush=True)


@contextmanager
def tell_warnings() -> Iterator[None]:
    """A context in which the warnings of this package are notes, a line each: each sentence once.

    Cells of a column unlike those of all training rows are counted over all tables, and told at the end.
    """
    told, cells = set[str](), dict[tuple[type[CellWarning], str], CellWarning]()
    with warnings.catch_warnings():
        warnings.simplefilter("always", PushforwardWarning)
        show = warnings.showwarning

        def note(message: Warning | str, category: type[Warning], *more: Any, **options: Any) -> None:
            if isinstance(message, CellWarning):
                key = type(message), message.column
                cells[key] = cells[key].and_more(message) if key in cells else message
            elif not issubclass(category, PushforwardWarning):
                show(message, category, *more, **options)
            elif str(message) not in told:
                told.add(str(message))
                tell(f"note: {message}")

        warnings.showwarning = note
        try:
            yield
        finally:
            for counted in cells.values():
                tell(f"note: {counted}")


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
