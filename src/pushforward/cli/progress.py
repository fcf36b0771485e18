"""Showing how far a long job is: a bar on a terminal, a line now and then elsewhere. Written to stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_PLAIN_SECONDS = 10.0


def tell(message: str) -> None:
    """One line for the person who waits; results go to stdout, this does not."""
    print(message, file=sys.stderr, flush=True)


@contextmanager
def counted(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yields a function that is told of each further number of rows done, out of ``total``."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda n: bar.advance(task, n)
        return
    done, last = 0, time.monotonic()

    def advance(n: int) -> None:
        nonlocal done, last
        done += n
        if time.monotonic() - last >= _PLAIN_SECONDS:
            last = time.monotonic()
            tell(f"{what}: {done:,} of {total:,}")

    yield advance
