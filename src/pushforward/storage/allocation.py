"""A bound on what may be allocated while a model is built from options that came out of a file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pushforward.errors import ModelError

# The arguments by which torch's factory functions (empty, zeros, arange, randperm, ...) are told how much to make.
_SIZES = ("size", "n", "end")


class AllocationLimit(TorchDispatchMode):
    """Inside ``with AllocationLimit(n_bytes, n_calls):`` tensors of at most ``n_bytes`` in all are made.

    What would go beyond is refused with a ModelError before it is allocated. ``n_calls`` bounds how many operations
    run, and so the time: a million tiny layers are refused as one huge layer is.
    """

    def __init__(self, n_bytes: int, n_calls: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.n_bytes, self.n_calls = n_bytes, n_calls

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        self.n_calls -= 1
        self.n_bytes -= _asked_for(func, args, kwargs)
        if self.n_bytes < 0 or self.n_calls < 0:
            raise ModelError("its options ask for a model far larger than the weights that come with it")
        return func(*args, **kwargs)


def _asked_for(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> int:
    """The bytes of the new tensor that a factory call makes; 0 for an operation on tensors, which is of their size."""
    if any(isinstance(arg, torch.Tensor) for arg in args):
        return 0
    names = [argument.name for argument in func._schema.arguments]
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    dtype = given.get("dtype") or torch.get_default_dtype()
    for name in _SIZES:
        size = given.get(name)
        if isinstance(size, (int, float)):
            return max(0, math.ceil(size)) * dtype.itemsize
        if isinstance(size, (list, tuple)):
            return math.prod(size) * dtype.itemsize
    return 0
