"""Dropout whose random numbers belong to one thread's fit, so that fits in several threads do not mix theirs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class _ThreadGenerator(threading.local):
    """The generator that this thread's dropout draws from; None: torch's global one."""

    generator: torch.Generator | None = None


_THREAD = _ThreadGenerator()


@contextmanager
def dropout_generator(generator: torch.Generator) -> Iterator[None]:
    """A context in which `Dropout` on this thread draws from ``generator``, which is on the device of the nets."""
    before, _THREAD.generator = _THREAD.generator, generator
    try:
        yield
    finally:
        _THREAD.generator = before


class Dropout(nn.Dropout):
    """torch's dropout, with the generator of `dropout_generator` where one is set and nothing is being compiled.

    From generators of equal seeds it draws on a CPU the same numbers as torch's.
    """

    def forward(self, h: Tensor) -> Tensor:
        if torch.compiler.is_compiling() or not self.training or self.p in (0.0, 1.0) or _THREAD.generator is None:
            return super().forward(h)
        kept = torch.empty_like(h).bernoulli_(1 - self.p, generator=_THREAD.generator)
        return h * kept.div_(1 - self.p)
