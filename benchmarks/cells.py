"""Cells of a benchmark: one JSON line each, finished once, shared by as many processes as there are.

A run that is stopped at any moment goes on where it was: cells that have their line are skipped. Several processes may
work on one file at once; a cell belongs to the process that holds the lock of its claim file, and the system lets go of
the lock when the process ends, however it ends.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote


class Cells:
    """The finished cells in the file ``path``; two lines with the same values of ``key`` are the same cell."""

    def __init__(self, path: Path, key: tuple[str, ...]) -> None:
        self.path, self.key = path, key
        self._claims = path.with_name(path.name + ".claims")

    def lines(self) -> list[dict[str, Any]]:
        """All finished cells, in the order in which they were finished. A line that was torn by a crash is none."""
        if not self.path.exists():
            return []
        found = []
        for text in self.path.read_text(encoding="utf-8").splitlines():
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if isinstance(line, dict):
                found.append(line)
        return found

    def finished(self, wanted: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The newest lines of the cells ``wanted``, in their order; of those that are not finished, none."""
        newest = {self._values(line): line for line in self.lines()}
        return [newest[values] for cell in wanted if (values := self._values(cell)) in newest]

    def folder(self, cell: Mapping[str, Any]) -> Path:
        """Where a cell's model is kept, beside the file."""
        return self.path.parent / "_".join(map(str, self._values(cell)))

    def done(self, cell: Mapping[str, Any]) -> bool:
        """Whether ``cell``, which has a value for every name in the key, has its line."""
        wanted = self._values(cell)
        return any(self._values(line) == wanted for line in self.lines())

    @contextmanager
    def claim(self, cell: Mapping[str, Any]) -> Iterator[bool]:
        """Whether ``cell`` is to be done here; False where it is finished or another process is at it."""
        self._claims.mkdir(parents=True, exist_ok=True)
        name = quote("_".join(map(str, self._values(cell))), safe="")
        with (self._claims / name).open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            # Looked at under the lock: another process may have finished it a moment ago.
            yield not self.done(cell)

    def add(self, line: Mapping[str, Any]) -> None:
        """Append a finished cell, whole and on a line of its own, whatever else is being written."""
        text = json.dumps(line, allow_nan=False) + "\n"
        with self.path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0, os.SEEK_END)
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    text = "\n" + text
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())

    def _values(self, cell: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(cell.get(name) for name in self.key)


def resumable(work: Callable[[], None]) -> int:
    """The exit status of a benchmark that does ``work``: Ctrl-C ends it with a line that says how it goes on."""
    try:
        work()
    except KeyboardInterrupt:
        print("stopped; the same command goes on", file=sys.stderr)
        return 130
    return 0
