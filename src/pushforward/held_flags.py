"""Flags of objects that several threads hold at one value at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Generic, TypeVar

Owner = TypeVar("Owner")


@dataclass
class _Holding(Generic[Owner]):
    """An owner whose flag is held: the number of holders, and the flag's value before."""

    owner: Owner  # kept alive, so that its id stays its own
    before: bool
    count: int = 0


class HeldFlags(Generic[Owner]):
    """A flag of each of many objects: the first thread that holds it sets it, and the last one puts it back.

    read, write: take an owner, and an owner and a value. A thread that put a flag back while another one still works
    would change the results of that one.
    """

    def __init__(self, read: Callable[[Owner], bool], write: Callable[[Owner, bool], object]) -> None:
        self._read, self._write = read, write
        self._lock = Lock()
        self._holdings: dict[int, _Holding[Owner]] = {}

    @contextmanager
    def held(self, owners: Sequence[Owner], value: bool) -> Iterator[None]:
        """Inside, the flag of each owner is ``value``; flags that have the value already, and that no thread holds, are
        not touched."""
        with self._lock:
            mine = [owner for owner in owners if id(owner) in self._holdings or self._read(owner) != value]
            for owner in mine:
                holding = self._holdings.setdefault(id(owner), _Holding(owner, self._read(owner)))
                holding.count += 1
                self._write(owner, value)
        try:
            yield
        finally:
            with self._lock:
                for owner in mine:
                    holding = self._holdings[id(owner)]
                    holding.count -= 1
                    if holding.count == 0:
                        self._write(owner, holding.before)
                        del self._holdings[id(owner)]
