"""The number of torch's threads that suits the size of a computation on the CPU.

Threads share one call of torch at a time and synchronise after it. For small calls the synchronisation takes longer
than the work. Where another process has the processor of one thread, all others wait for it at each call.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode_stack
from torch.utils.flop_counter import flop_registry

from pushforward import processors

# Smallest work of a call for each thread: on two processors, two threads are faster than one from about twice this work
# on, for coupling, autoregressive and image flows alike. The unit is one value of an elementwise operation, in whose
# time a matrix product does so many floating-point operations.
_WORK_PER_THREAD, _PRODUCT_OPERATIONS = 100_000, 16
# Passes of up to so many times the rows of a counted one are taken to have work in proportion to their rows.
_MANY_TIMES = 4


class _Holders(threading.local):
    """The contexts of `restored_threads` that this thread is in."""

    count: int = 0


_LOCK, _MINE = threading.Lock(), _Holders()
# The number of contexts of `restored_threads` in all threads, and torch's number before the first of them.
_holders, _common = 0, 1


@contextmanager
def restored_threads() -> Iterator[None]:
    """A context in which the number of threads may be changed; afterwards torch has its previous number.

    Each thread of Python has its own number, and begins with the one that was set last in any of them. A context
    therefore begins with the number from before all contexts that other threads are in.
    """
    global _holders, _common
    with _LOCK:
        if _holders == 0:
            _common = torch.get_num_threads()
        elif _MINE.count == 0 and torch.get_num_threads() != _common:
            torch.set_num_threads(_common)
        _holders += 1
        _MINE.count += 1
    before = torch.get_num_threads()
    try:
        yield
    finally:
        with _LOCK:
            _holders -= 1
            _MINE.count -= 1
            if torch.get_num_threads() != before:
                torch.set_num_threads(before)


@contextmanager
def usable_threads() -> Iterator[None]:
    """`restored_threads`, with at most as many threads as there are processors that the process may use."""
    with restored_threads():
        lower_threads(processors.available())
        yield


@contextmanager
def one_thread() -> Iterator[None]:
    """`restored_threads`, with one thread: a busy machine does not slow its small calls."""
    with restored_threads():
        lower_threads(1)
        yield


def lower_threads(count: int) -> None:
    """Let torch compute with at most ``count`` threads: a smaller number, as the user may have set, stays."""
    if count < torch.get_num_threads():
        torch.set_num_threads(max(1, count))


def suit_threads(compute: Callable[[], object], device: torch.device) -> None:
    """Lower the number of threads to one that suits the work of ``compute``, which is called once, on one thread.

    Nothing is called where there is one thread already, or where ``device`` is an accelerator.
    """
    if device.type == "cpu" and torch.get_num_threads() > 1:
        with restored_threads():
            torch.set_num_threads(1)
            with WorkCounter() as counter:
                compute()
        lower_threads(counter.threads)


class PassThreads:
    """Suits the number of threads to each pass of rows through a model, by the work that earlier passes had."""

    def __init__(self) -> None:
        self._rows, self._work = 0, 0.0

    @contextmanager
    def suited(self, rows: int, device: torch.device) -> Iterator[None]:
        """The context of a pass of ``rows`` rows; torch has its own number of threads again afterwards.

        A pass of many more rows than any before has its work counted, and keeps torch's number.
        """
        if not _may_choose(device) or rows == 0:
            yield
            return
        with restored_threads():
            if rows > _MANY_TIMES * self._rows:
                with WorkCounter() as counter:
                    yield
                self._rows, self._work = rows, counter.mean_work
            else:
                lower_threads(_threads_for(self._work * rows / self._rows))
                yield


def _may_choose(device: torch.device) -> bool:
    """Whether a pass may choose its number of threads; code that is being compiled cannot change it.

    Not outside the main thread: a thread that uses torch for the first time keeps the number of that moment for good.
    """
    if threading.current_thread() is not threading.main_thread():
        return False
    return device.type == "cpu" and not torch.compiler.is_compiling() and torch.get_num_threads() > 1


def _threads_for(mean_work: float) -> int:
    return max(1, int(mean_work / _WORK_PER_THREAD))


class WorkCounter(TorchDispatchMode):
    """Counts the calls of torch's operators inside, and the work in them, by sizes alone.

    It measures no times, so that the number of threads, and with it the order of sums, is the same in each run.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls, self.work = 0, 0.0

    @classmethod
    def is_infra_mode(cls) -> bool:
        """So that torch.compile works inside: operators are only counted."""
        return True

    @property
    def mean_work(self) -> float:
        """The work of a call."""
        return self.work / max(1, self.calls)

    @property
    def threads(self) -> int:
        """The number of threads that suits calls of that much work; at least 1."""
        return _threads_for(self.mean_work)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        first = result[0] if isinstance(result, (tuple, list)) and result else result
        if isinstance(first, Tensor):
            self.calls += 1
            self.work += first.numel()
            operations = flop_registry.get(func.overloadpacket)
            if operations is not None:
                self.work += operations(*args, **(kwargs or {}), out_val=result) / _PRODUCT_OPERATIONS
        return result


def count_work(layers: int, rows: int, weights: Sequence[Tensor]) -> None:
    """Let counters know of products of ``rows`` rows with weights, and of an activation after each, outside torch."""
    if torch._C._len_torch_dispatch_stack() == 0:
        return
    for counter in _get_current_dispatch_mode_stack():
        if isinstance(counter, WorkCounter):
            counter.calls += 2 * layers
            products = sum(2 * weight.numel() / _PRODUCT_OPERATIONS + 2 * len(weight) for weight in weights)
            counter.work += rows * products
