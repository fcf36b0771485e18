"""A bound on memory and time while a model is built from options that came out of a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from pushforward.errors import ModelError

# Results of operations on so few numbers are small, a square of them at most: they are charged once they are made.
_FEW = 1 << 10


class AllocationLimit(TorchDispatchMode):
    """Inside ``with AllocationLimit(n_bytes, n_calls):`` at most ``n_bytes`` are written into tensors in all.

    An operation that would go beyond is refused with a ModelError before it runs, so that the limit bounds the memory
    too. ``n_calls`` bounds the number of operations: a million tiny layers are refused as one huge layer is.
    Attributes: ``n_bytes`` and ``n_calls``, what is left of them.
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
            raise ModelError("its options ask for a model far larger than the weights that come with it")


def _is_on_few(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    """Whether an operation that makes a tensor is given few numbers, sizes among them."""
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
    """The number of bytes that an operation will write: into its result, or into the tensor that it changes."""
    if func.is_view:
        return 0
    given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    if func._schema.is_mutable:
        return _size_of(given[:1])
    try:
        return _size_of(func(*tree_map(_on_meta, args), **{**tree_map(_on_meta, kwargs), **_device(func)}))
    except (RuntimeError, NotImplementedError):
        # The size of the result depends on values: at most an int64 index for each axis of what was given.
        return sum(8 * max(1, tensor.ndim) * tensor.numel() for tensor in given)


def _device(func: Any) -> dict[str, torch.device]:
    """The keyword that makes a factory function compute sizes alone."""
    names: Iterable[str] = (argument.name for argument in func._schema.arguments)
    return {"device": torch.device("meta")} if "device" in names else {}


def _on_meta(leaf: Any) -> Any:
    if not isinstance(leaf, Tensor):
        return leaf
    return torch.empty_strided(leaf.shape, leaf.stride(), dtype=leaf.dtype, device="meta")


def _size_of(result: Any) -> int:
    return sum(leaf.numel() * leaf.itemsize for leaf in tree_leaves(result) if isinstance(leaf, Tensor))
