"""Progress display of a run on stderr: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

_PLAIN_SECONDS = 10.0


@dataclass
class Status:
    """The state of a run; ``str`` gives the line to show. A value that is not known yet is None.

    fraction: completed fraction of the run, 0 to 1. figures: log-likelihoods as text with units. rate: ``rows`` per
    second. left: seconds to the end.
    """

    step: int
    fraction: float
    epoch: float | None = None
    figures: tuple[str, ...] = ()
    gradient_norm: float | None = None
    rate: float | None = None
    rows: str = "rows"
    left: float | None = None

    def __str__(self) -> str:
        parts = [f"step {self.step:,}"]
        if self.epoch is not None:
            parts.append(f"epoch {self.epoch:.1f}")
        parts += self.figures
        if self.gradient_norm is not None:
            parts.append(f"gradient {self.gradient_norm:.2g}")
        if self.rate is not None:
            parts.append(f"{self.rate:,.0f} {self.rows}/s")
        if self.left is not None:
            parts.append(f"{clock(self.left)} left")
        return " · ".join(parts)


def clock(seconds: float) -> str:
    """A duration as h:mm:ss or m:ss."""
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02}:{s:02}" if hours else f"{m}:{s:02}"


class ProgressDisplay(ABC):
    """A progress display, used as a context manager."""

    @abstractmethod
    def show(self, status: Status, final: bool = False) -> None:
        """Show the state; called often, and cheap. ``final``: the last state, which is always shown."""

    @abstractmethod
    def note(self, message: str) -> None:
        """Print a message that the display must not overwrite."""

    def due(self) -> bool:
        """Whether `show` would do anything now."""
        return True

    def __enter__(self) -> ProgressDisplay:
        return self

    def __exit__(self, *exception: object) -> None:
        return None


class Silent(ProgressDisplay):
    """Says nothing."""

    def show(self, status: Status, final: bool = False) -> None:
        return None

    def note(self, message: str) -> None:
        return None

    def due(self) -> bool:
        return False


class Plain(ProgressDisplay):
    """A plain line at intervals, for log files and pipes."""

    def __init__(self, every: float = _PLAIN_SECONDS) -> None:
        self.every = every
        self._last = time.monotonic()

    def due(self) -> bool:
        return time.monotonic() - self._last >= self.every

    def show(self, status: Status, final: bool = False) -> None:
        if final or self.due():
            self._last = time.monotonic()
            print(status, file=sys.stderr, flush=True)

    def note(self, message: str) -> None:
        print(message, file=sys.stderr, flush=True)


class Live(ProgressDisplay):
    """A line with a progress bar that is updated in place, for terminals."""

    def __init__(self, console: Any = None) -> None:
        from rich.console import Console
        from rich.live import Live as RichLive

        self._live = RichLive(console=console or Console(stderr=True), auto_refresh=False, transient=False)
        self._last = 0.0

    def __enter__(self) -> ProgressDisplay:
        self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.stop()

    def due(self) -> bool:
        return time.monotonic() - self._last >= 0.2

    def show(self, status: Status, final: bool = False) -> None:
        if not (final or self.due()):
            return
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        self._last = time.monotonic()
        line = Table.grid(padding=(0, 1), expand=False)
        line.add_row(ProgressBar(1.0, status.fraction, width=20), Text(str(status)))
        self._live.update(line, refresh=True)

    def note(self, message: str) -> None:
        from rich.text import Text

        self._live.console.print(Text(message))


def make_progress(wanted: bool | None) -> ProgressDisplay:
    """The progress display: silent for False, else live if stderr is a terminal, and plain lines otherwise."""
    if wanted is False or sys.stderr is None:
        return Silent()
    return Live() if sys.stderr.isatty() else Plain()
