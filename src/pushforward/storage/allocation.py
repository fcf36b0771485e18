"""A limit on memory and time while a model is built from options in a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from pushforward.errors import ModelError

# Results of operations on this few numbers are small, at most their square, so they are counted afterwards.
_FEW = 1 << 10


class AllocationLimit(TorchDispatchMode):
    """Allocation limit: inside ``with AllocationLimit(n_bytes, n_calls):`` tensors get at most ``n_bytes`` in total.

    An operation that would exceed the limit raises a ModelError before it runs, so the limit also bounds the memory.
    ``n_calls`` limits the number of operations, which excludes a million tiny layers as well as one huge layer. The
    attributes ``n_bytes`` and ``n_calls`` are the remaining amounts.
    """

    def __init__(self, n_bytes: int, n_calls: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.n_bytes, self.n_calls = n_bytes, n_calls

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        self.n_calls -= 1
        few = _is_on_few(func, args, kwargs)
        if not few:
            self._charge(_written(func, args, kwargs))
        result = func(*args, **kwargs)
        if few:
            self._charge(_size_of(result))
        return result

    def _charge(self, n_bytes: int) -> None:
        self.n_bytes -= n_bytes
        if self.n_bytes < 0 or self.n_calls < 0:
            raise ModelError("its options describe a model far larger than its stored weights")


def _is_on_few(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    """Whether an operation that creates a tensor has few numbers as its input, sizes included."""
    if func.is_view or func._schema.is_mutable:
        return False
    product, count = 1.0, 1
    for leaf in tree_leaves((args, kwargs)):
        if isinstance(leaf, Tensor):
            product, count = product * max(1, leaf.numel()), count + 1
        elif isinstance(leaf, (int, float)):
            product *= max(1, abs(leaf))
    return product * count <= _FEW


def _written(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> int:
    """The number of bytes that an operation will write, into its result or into the tensor that it changes."""
    if func.is_view:
        return 0
    given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    if func._schema.is_mutable:
        return _size_of(given[:1])
    try:
        return _size_of(func(*tree_map(_on_meta, args), **{**tree_map(_on_meta, kwargs), **_device(func)}))
    except (RuntimeError, NotImplementedError):
        # The size of the result depends on values: it is at most an int64 index for each axis of the input.
        return sum(8 * max(1, tensor.ndim) * tensor.numel() for tensor in given)


def _device(func: Any) -> dict[str, torch.device]:
    """The keyword that makes a factory function compute only sizes."""
    names: Iterable[str] = (argument.name for argument in func._schema.arguments)
    return {"device": torch.device("meta")} if "device" in names else {}


def _on_meta(leaf: Any) -> Any:
    if not isinstance(leaf, Tensor):
        return leaf
    return torch.empty_strided(leaf.shape, leaf.stride(), dtype=leaf.dtype, device="meta")


def _size_of(result: Any) -> int:
    return sum(leaf.numel() * leaf.itemsize for leaf in tree_leaves(result) if isinstance(leaf, Tensor))
