"""The memory that a computation stores for its gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


def stored_bytes(module: nn.Module, call: Callable[[], Any]) -> int:
    """The bytes of tensors that the graph of ``call()`` stores, except the parameters of ``module`` themselves."""
    held = {parameter.untyped_storage().data_ptr() for parameter in module.parameters()}
    total = 0

    def pack(tensor: Tensor) -> Tensor:
        nonlocal total
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in held:
            held.add(storage.data_ptr())
            total += storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        alive = call()
    del alive
    return total
