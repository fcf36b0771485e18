"""A stand-in for a device without float64: tensors that say they are on one, and a mode that refuses float64 there.

The numbers lie on the CPU; every operation runs there and checks its result. Usable inside ``with device():``. The
name is one of those that torch knows and has no code for; its generators are the CPU's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

NAME = "lazy"
DEVICE = torch.device(NAME)


class There(Tensor):
    """A tensor on the device."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> There:
        if held.dtype == torch.float64:
            raise TypeError(f"the device {NAME} has no float64")
        made: There = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, held.shape, strides=held.stride(), dtype=held.dtype, device=DEVICE, requires_grad=held.requires_grad
        )
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return run(func, args, kwargs or {})


def run(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """An operation on tensors here or there; its result is where torch's would be."""
    given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    there = any(isinstance(tensor, There) for tensor in given)
    target = kwargs.get("device")
    names = [argument.name for argument in func._schema.arguments]
    if there and target is None and func._overloadpacket is not torch.ops.aten.copy_:
        here = [tensor for tensor in given if not isinstance(tensor, There) and tensor.ndim > 0]
        if here:
            raise RuntimeError(f"tensors on {NAME} and on the CPU in {func}")
    wrapped = torch.device(target) == DEVICE if target is not None else there
    inner = tree_map(lambda leaf: leaf.held if isinstance(leaf, There) else leaf, (args, kwargs))
    if "device" in names and target is not None:
        inner[1]["device"] = torch.device("cpu")
    result = func(*inner[0], **inner[1])
    if not wrapped:
        return result
    result = tree_map(lambda leaf: There(leaf) if isinstance(leaf, Tensor) else leaf, result)
    if func._schema.is_mutable or func.is_view:
        return return_and_correct_aliasing(func, args, kwargs, result)
    return result


class _Operations(TorchDispatchMode):
    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return run(func, args, kwargs or {})


class _Numbers(TorchFunctionMode):
    """Tensors of Python's numbers, which torch makes below the level of operations."""

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        more = dict(kwargs or {})
        if func is Tensor.new_tensor and isinstance(args[0], There):
            return torch.tensor(args[1], dtype=more.get("dtype", args[0].dtype)).to(DEVICE)
        if func is Tensor.tolist and isinstance(args[0], There):
            return args[0].held.tolist()
        if func in (torch.tensor, torch.as_tensor) and more.get("device") == DEVICE:
            del more["device"]
            return func(*args, **more).to(DEVICE)
        return func(*args, **more)


@contextmanager
def device() -> Iterator[None]:
    """Tensors can be made on, and moved to, the device."""
    with _Operations(), _Numbers():
        yield
