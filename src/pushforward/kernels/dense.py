"""Nets of dense layers as one call each way: a few rows go through all layers while they are in the cache."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pushforward.kernels.checks import gradients_by_operations, takes_gradients, takes_tensors
from pushforward.kernels.library import function
from pushforward.threads import count_work

# The structures of csrc/interface.h.
_NET = struct.Struct("@4P8qdP")
_LAYER = struct.Struct("@7P3q")
# Rows of memory that the library reads and writes as whole vectors.
_VECTOR = 16
# Of the inputs, and of weight and bias of each layer: the same net in torch's operations.
Reference = Callable[..., Tensor]


class Layers(NamedTuple):
    """How the layers of a net are connected.

    skips: for each layer, whether the layer before, which is as wide, is added to its result. limit: inputs of the net
    are clamped to [-limit, limit]. reaches: for each layer, how many leading inputs its outputs have at most, in an
    order in which that number does not decrease, integers on the CPU; all further weights are 0. order: the outputs of
    the last layer in the order of its reach. None: all inputs, and the order as it is.
    """

    skips: tuple[bool, ...]
    limit: float
    reaches: tuple[Tensor, ...] | None = None
    order: Tensor | None = None

    @property
    def orders(self) -> list[tuple[int, int]]:
        """The addresses of order and reach of each layer; 0 for None."""
        if self.reaches is None:
            return [(0, 0)] * len(self.skips)
        found = [(0, reach.data_ptr()) for reach in self.reaches]
        if self.order is not None:
            found[-1] = (self.order.data_ptr(), found[-1][1])
        return found


class DenseForm(NamedTuple):
    """A net as the library computes it: weight and bias of each layer in turn, and how they are connected.

    reference: see `dense`.
    """

    params: Sequence[Tensor]
    layers: Layers
    reference: Reference


def takes_dense(x: Tensor, params: Sequence[Tensor], skips: Sequence[bool]) -> bool:
    """Whether `dense` can compute this here.

    It can on the CPU, in single or double precision, outside torch.func, autocast and compiled graphs. Torch's own
    operations refuse layers that do not fit each other: the kernel would read past the end of their memory.
    """
    return (
        not torch.compiler.is_compiling()
        and x.ndim == 2
        and len(x) > 0
        and not torch.is_autocast_enabled("cpu")
        and takes_tensors(x, *params)
        and fit_each_other(x.shape[1], params, skips)
    )


def fit_each_other(width: int, params: Sequence[Tensor], skips: Sequence[bool]) -> bool:
    """Whether each layer has as many inputs as the one before has outputs, the first one ``width``."""
    if len(params) != 2 * len(skips):
        return False
    for weight, bias, skip in zip(params[::2], params[1::2], skips, strict=True):
        outputs = len(bias)
        if weight.shape != (outputs, width) or bias.ndim != 1 or (skip and outputs != width):
            return False
        width = outputs
    return True


def dense(x: Tensor, params: Sequence[Tensor], layers: Layers, reference: Reference) -> Tensor:
    """Outputs ``(outputs, B)`` of a net with a ReLU between its layers, for ``x: (B, inputs)``.

    params: weight ``(outputs, inputs)`` and bias ``(outputs,)`` of each layer in turn. reference: the same net, as
    ``reference(x, *params)``, whose derivatives are the second derivatives.
    """
    if torch.is_grad_enabled() and (x.requires_grad or any(param.requires_grad for param in params)):
        return _Dense.apply(x, layers, reference, *params)  # type: ignore[no-untyped-call, no-any-return]
    return _values(x, params, layers)[0]


class _Dense(torch.autograd.Function):
    """The net, which keeps the inputs of all its layers."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layers: Layers, reference: Reference, *params: Tensor) -> Tensor:
        out, kept = _values(x, params, layers, keep=True)
        ctx.save_for_backward(x, kept, *params)
        ctx.layers, ctx.reference = layers, reference
        return out

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        x, kept, *params = ctx.saved_tensors
        by_x, _, _, *by_params = ctx.needs_input_grad
        if takes_gradients(grad_out):
            grad_x, grads = _gradients(x, kept, params, ctx.layers, grad_out, by_x, any(by_params))
        else:
            wanted = (by_x, *by_params)
            grad_x, *grads = gradients_by_operations(ctx.reference, (x, *params), wanted, [grad_out])
        return grad_x, None, None, *grads


def pack_layers(
    params: Sequence[Tensor], layers: Layers, places: Sequence[int] | None = None
) -> tuple[list[Tensor], bytes]:
    """The layers as the library takes them for values, and the params, which must live as long as these.

    places: the addresses to which the inputs of each layer are written.
    """
    params = [param.contiguous() for param in params]
    packed = b""
    weights, biases = params[::2], params[1::2]
    places = places or [0] * len(weights)
    for weight, bias, order, place, skip in zip(weights, biases, layers.orders, places, layers.skips, strict=True):
        packed += _LAYER.pack(weight.data_ptr(), bias.data_ptr(), *order, place, 0, 0, *weight.shape, skip)
    return params, packed


def pack_net(x: Tensor, rows: int, layers: Layers, columns: int, out: int = 0) -> bytes:
    """The net as the library takes it for values. columns: the address of the columns of x that it reads, 0 for all."""
    return _NET.pack(
        x.data_ptr(), 0, out, 0, x.stride(1), x.stride(0), 0, 0,
        rows, whole_vectors(rows), len(layers.skips), False, layers.limit, columns,
    )  # fmt: skip


def memory_for_inputs(x: Tensor, params: Sequence[Tensor]) -> tuple[Tensor, list[int]]:
    """Memory for the inputs of all layers, one after the other, and the address of those of each layer."""
    widths = [weight.shape[1] for weight in params[::2]]
    kept = x.new_empty(sum(widths) * whole_vectors(len(x)))
    return kept, _places(kept, widths, len(x))


def _values(x: Tensor, params: Sequence[Tensor], layers: Layers, keep: bool = False) -> tuple[Tensor, Tensor | None]:
    """The outputs and, where they are wanted, the inputs of all layers after their activation, one after the other."""
    rows, weights = x.shape[0], params[::2]
    out = x.new_empty(weights[-1].shape[0], rows)
    kept, places = memory_for_inputs(x, params) if keep else (None, None)
    params, packed = pack_layers(params, layers, places)
    net = pack_net(x, rows, layers, 0, out.data_ptr())
    function("net_values")(net, packed, x.dtype == torch.float64, torch.get_num_threads())
    count_work(len(weights), rows, weights)
    return out, kept


class NetGradients(NamedTuple):
    """The gradients of a net as the library takes them, and the memory that it writes.

    by_x: ``(inputs, B)``, by_params: of each param in turn; None and none where they are not wanted. params: those that
    must live until then.
    """

    net: bytes
    layers: bytes
    by_x: Tensor | None
    by_params: list[Tensor]
    params: list[Tensor]


def pack_gradients(
    kept: Tensor,
    params: Sequence[Tensor],
    layers: Layers,
    rows: int,
    wanted: tuple[bool, bool],
    grad_out: Tensor,
    columns: int = 0,
) -> NetGradients:
    """The gradients of a net for ``rows`` rows, given those by its results, ``grad_out: (outputs, at least B)``.

    wanted: whether those by x and by the params are. columns: as in `pack_net`.
    """
    by_x, by_params = wanted
    params = [param.contiguous() for param in params]
    weights = params[::2]
    widths = [weight.shape[1] for weight in weights]
    grad_x = grad_out.new_empty(widths[0], rows) if by_x else None
    grads = [torch.empty_like(param) for param in params] if by_params else []
    addresses = [grad.data_ptr() for grad in grads] or [0] * len(params)
    packed = b""
    places = _places(kept, widths, rows)
    for weight, order, place, by_weight, by_bias, skip in zip(
        weights, layers.orders, places, addresses[::2], addresses[1::2], layers.skips, strict=True
    ):
        packed += _LAYER.pack(weight.data_ptr(), 0, *order, place, by_weight, by_bias, *weight.shape, skip)
    net = _NET.pack(
        0, grad_out.data_ptr(), 0, 0 if grad_x is None else grad_x.data_ptr(), 0, 0, *grad_out.stride(),
        rows, whole_vectors(rows), len(weights), by_params, layers.limit, columns,
    )  # fmt: skip
    count_work(len(weights), (by_x + by_params) * rows, weights)
    return NetGradients(net, packed, grad_x, grads, params)


def _gradients(
    x: Tensor, kept: Tensor, params: Sequence[Tensor], layers: Layers, grad_out: Tensor, by_x: bool, by_params: bool
) -> tuple[Tensor | None, list[Tensor | None]]:
    """Gradients by x and by the params, where they are wanted."""
    found = pack_gradients(kept, params, layers, x.shape[0], (by_x, by_params), grad_out)
    function("net_gradients")(found.net, found.layers, x.dtype == torch.float64, torch.get_num_threads())
    return None if found.by_x is None else found.by_x.t(), [*found.by_params] or [None] * len(params)


def whole_vectors(rows: int) -> int:
    return (rows + _VECTOR - 1) // _VECTOR * _VECTOR


def _places(memory: Tensor, widths: Sequence[int], rows: int) -> list[int]:
    """The addresses of parts of so many units of all rows, one after the other."""
    step = whole_vectors(rows) * memory.element_size()
    return [memory.data_ptr() + units * step for units in accumulate(widths[:-1], initial=0)]
