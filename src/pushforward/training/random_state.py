"""The random numbers of a fit that no generator of its own gives: those of dropout and of compiled code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from threading import Lock, RLock

import torch
from torch import Tensor

from pushforward.nets.dropout import dropout_generator


@dataclass
class _Holding:
    """A global generator that fits use: how many do, and its state before the first one."""

    state: Tensor
    users: int = 0


_LOCK = Lock()
_HOLDINGS: dict[torch.device, _Holding] = {}
# Compiled code draws from the global generator, and the compiler itself serves one thread at a time.
_COMPILED = RLock()


@contextmanager
def own_random_state(device: torch.device, seed: int, compiled: bool) -> Iterator[None]:
    """The context of a fit: its random numbers follow from ``seed`` alone, whatever other threads fit meanwhile.

    Dropout of the package's nets draws from a generator of this fit. Fits that are compiled run one at a time. Torch's
    global generators, which a user's own modules may draw from, are seeded by the first of several fits at once and
    have their earlier state again after the last one.
    """
    with ExitStack() as stack:
        if compiled:
            stack.enter_context(_COMPILED)
        for generator in _global_generators(device):
            stack.enter_context(_held(generator, seed, compiled))
        stack.enter_context(dropout_generator(torch.Generator(device).manual_seed(seed)))
        yield


def _global_generators(device: torch.device) -> list[torch.Generator]:
    if device.type != "cuda":
        return [torch.default_generator]
    index = torch.cuda.current_device() if device.index is None else device.index
    return [torch.default_generator, torch.cuda.default_generators[index]]


@contextmanager
def _held(generator: torch.Generator, seed: int, compiled: bool) -> Iterator[None]:
    with _LOCK:
        holding = _HOLDINGS.setdefault(generator.device, _Holding(generator.get_state()))
        holding.users += 1
        if holding.users == 1 or compiled:
            generator.manual_seed(seed)
    try:
        yield
    finally:
        with _LOCK:
            holding.users -= 1
            if holding.users == 0:
                generator.set_state(holding.state)
                del _HOLDINGS[generator.device]
