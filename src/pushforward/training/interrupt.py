"""Ctrl-C as a request: the first one asks the loop to stop, the second one aborts."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Interrupt:
    """Signal handler: a first SIGINT sets ``asked``; a second one restores the previous handler and aborts.

    No handler is installed outside the main thread, where Python allows none, or if SIGINT is ignored.
    """

    def __init__(self) -> None:
        self.asked = False
        self._previous: Any = None

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            previous = signal.getsignal(signal.SIGINT)
            # None is a handler that was not installed from Python, so it could not be restored.
            if previous is not None and previous is not signal.SIG_IGN:
                signal.signal(signal.SIGINT, self._handle)
                self._previous = previous
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            self._restore()
            raise KeyboardInterrupt
        self.asked = True

    def _restore(self) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
            self._previous = None
