"""The number of torch's threads that suits the size of a computation on the CPU.

Threads share one call of torch at a time, and meet after it: where calls are small the meeting takes longer than the
work, and where another process has the processor of one thread, all the others wait for it at each call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from pushforward import processors

# Of one call, for each thread: on two processors, two threads are faster than one from about twice this work on, for
# coupling, autoregressive and image flows alike. The unit is one value of an elementwise operation, in whose time a
# matrix product does so many floating-point operations.
_WORK_PER_THREAD, _PRODUCT_OPERATIONS = 100_000, 16


@contextmanager
def restored_threads() -> Iterator[None]:
    """A context in which the number of threads may be lowered; torch has its own number again afterwards.

    Inside it is at most the number of processors that the process may use.
    """
    before = torch.get_num_threads()
    try:
        lower_threads(processors.available())
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


def lower_threads(count: int) -> None:
    """Let torch compute with at most ``count`` threads: a smaller number, as the user may have set, stays."""
    if count < torch.get_num_threads():
        torch.set_num_threads(max(1, count))


def suit_threads(compute: Callable[[], object], device: torch.device) -> None:
    """Lower the number of threads to one that suits the work of ``compute``, which is called once, on one thread.

    Nothing is called where there is one thread already, or where ``device`` is an accelerator.
    """
    most = torch.get_num_threads()
    if most == 1 or device.type != "cpu":
        return
    torch.set_num_threads(1)
    try:
        with WorkCounter() as counter:
            compute()
    finally:
        torch.set_num_threads(most)
    lower_threads(counter.threads)


class WorkCounter(TorchDispatchMode):
    """Counts the calls of torch's operators inside, and the work in them, by sizes alone.

    It takes no times, so that the number of threads, and with it the order of sums, is the same in each run.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls, self.work = 0, 0.0

    @property
    def threads(self) -> int:
        """The number of threads that the mean work of a call suits; at least 1."""
        return max(1, int(self.work / max(1, self.calls) / _WORK_PER_THREAD))

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
