"""What all kernels ask of tensors, and the gradients that they leave to torch's operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pushforward.differentiation import is_batch_of_gradients, takes_operators
from pushforward.kernels.library import has_kernels

DTYPES = (torch.float32, torch.float64)
# Their memory is what they say; that of a subclass may be none.
_CLASSES = (Tensor, nn.Parameter)


def takes_tensors(*tensors: Tensor) -> bool:
    """Whether a kernel can read these: on the CPU, all in single or all in double precision, outside torch.func.

    In a compiled graph, the classes of tensors and their memory are the compiler's.
    """
    dtype, compiling = tensors[0].dtype, torch.compiler.is_compiling()
    if dtype not in DTYPES:
        return False
    for tensor in tensors:
        if not tensor.is_cpu or tensor.dtype != dtype or not (compiling or _is_plain(tensor)):
            return False
    return takes_operators() and has_kernels()


def takes_gradients(*grads: Tensor) -> bool:
    """Whether a kernel may compute gradients from these: no second derivative is wanted, and no batch of gradients."""
    return (
        not torch.is_grad_enabled()
        and not is_batch_of_gradients(*grads)
        and takes_operators()
        and all(map(_is_plain, grads))
    )


def _is_plain(tensor: Tensor) -> bool:
    return type(tensor) in _CLASSES and not tensor.is_neg()


def gradients_by_operations(
    reference: Callable[..., Any], inputs: Sequence[Tensor | None], wanted: Sequence[bool], grads: Sequence[Tensor]
) -> list[Tensor | None]:
    """Gradients by the wanted inputs of ``reference(*inputs)``, given those by its results; they can be differentiated.

    An input may be computed from another one: views of them stand for the arguments, each of which is held fixed for
    the gradients by the others. An input may be None, which is not wanted.
    """
    with torch.enable_grad():
        views = [None if tensor is None else tensor.view_as(tensor) for tensor in inputs]
        chosen = [view for view, each in zip(views, wanted, strict=True) if each and view is not None]
        results = reference(*views)
    found = iter(torch.autograd.grad(results, chosen, grads, create_graph=torch.is_grad_enabled()))
    return [next(found) if each else None for each in wanted]
