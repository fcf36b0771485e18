"""The logit of a mixture of logistic distribution functions, its inverse and its gradients, as one call each."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from pushforward.kernels.checks import gradients_by_operations, takes_gradients, takes_tensors
from pushforward.kernels.library import function

# The components of an element lie in arrays of this length on the stack.
MOST_COMPONENTS = 64
# The structure of csrc/mixture_interface.h.
_MIXTURE = struct.Struct("@8P6q3d")
# Of values and params: value and log-slope, the same computation in torch's operations.
Reference = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class MixtureOptions:
    """The map ``logit(sum_k w_k sigmoid(u_k))`` with ``w`` the softmax of the first params, one for each component.

    units: None, ``u = (x - mean) exp(-s)``, where s is raw / (1 + |raw| / limit), and the params are the means and the
    raw s; a number, ``u = rate x + offset``, where the rate is the positive slope of its raw param with this minimum.
    affine: whether two further params, a raw log-scale and a shift, change the value.
    """

    components: int
    units: float | None = None
    affine: bool = False
    limit: float = 5.0

    @property
    def n_params(self) -> int:
        """The params of an element that the map reads."""
        return 3 * self.components + 2 * self.affine

    @cached_property
    def numbers(self) -> tuple[int, int, int, float, float, float]:
        """The options as the library takes them."""
        least = self.units or 0.0
        return self.components, self.units is not None, self.affine, self.limit, least, math.log(math.expm1(1 - least))


def mixture(values: Tensor, params: Tensor, options: MixtureOptions, reference: Reference) -> tuple[Tensor, Tensor]:
    """Value and log-slope of the map at ``values: (*shape)`` with ``params: (P, *shape)``.

    The leading axes of params may have the length 1, for params that all rows share. reference: the same computation in
    torch's operations, which computes where the kernel cannot, and whose derivatives are the second derivatives.
    """
    if not takes_mixture(values, params, options):
        return reference(values, params)
    if torch.is_grad_enabled() and (values.requires_grad or params.requires_grad):
        return _Mixture.apply(values, params, options, reference)  # type: ignore[no-untyped-call, no-any-return]
    return _Call(values, params, options).run("mixture_values")


def mixture_inverse(values: Tensor, params: Tensor, options: MixtureOptions) -> tuple[Tensor, Tensor] | None:
    """The inverse of `mixture` and its log-slope, without gradients; None where the kernel cannot find it."""
    if not takes_mixture(values, params, options):
        return None
    call = _Call(values.detach(), params.detach(), options)
    found = call.run("mixture_inverse")
    return None if call.failed.item() else found


class _Mixture(torch.autograd.Function):
    """The map, whose backward recomputes it from its inputs: nothing else is kept."""

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, params: Tensor, options: MixtureOptions, reference: Reference
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(values, params)
        ctx.options, ctx.reference = options, reference
        return _Call(values, params, options).run("mixture_values")

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor, grad_log_slope: Tensor) -> tuple[Tensor | None, ...]:
        values, params = ctx.saved_tensors
        grads = (grad_out, grad_log_slope)
        if takes_gradients(*grads):
            return *_Call(values, params, ctx.options).gradients(*grads), None, None
        wanted = ctx.needs_input_grad[:2]
        return *gradients_by_operations(ctx.reference, (values, params), wanted, grads), None, None


def takes_mixture(values: Tensor, params: Tensor, options: MixtureOptions) -> bool:
    """Whether the kernel computes this: on the CPU, in single or double precision, outside torch.func and compilers."""
    return (
        options.components <= MOST_COMPONENTS
        and len(params) == options.n_params
        and _shared_axes(values, params) is not None
        and not torch.compiler.is_compiling()
        and takes_tensors(values, params)
    )


def _shared_axes(values: Tensor, params: Tensor) -> int | None:
    """The number of leading axes along which the params are the same; None for params of another shape."""
    shape, own = values.shape, params.shape[1:]
    if own == shape:
        return 0
    axes = next((i for i, length in enumerate(own) if length != 1), len(own))
    return axes if len(own) == len(shape) and own[axes:] == shape[axes:] else None


class _Call:
    """A call of the library, with tensors in the layout that it takes: elements that share params lie side by side."""

    def __init__(self, values: Tensor, params: Tensor, options: MixtureOptions) -> None:
        self.shape, self.options = values.shape, options
        self.axes = _shared_axes(values, params) or 0
        self.group = math.prod(self.shape[: self.axes])
        self.values = self._side_by_side(values)
        self.params = (
            params if params.is_contiguous() or (len(params) and params[0].is_contiguous()) else params.contiguous()
        )
        self.failed = torch.zeros((), dtype=torch.int64, device="cpu")

    def run(self, name: str) -> tuple[Tensor, Tensor]:
        """The two results of the function of this name."""
        out, log_slope = torch.empty_like(self.values), torch.empty_like(self.values)
        arrays = (self.values, self.params, None, None, out, log_slope, None)
        self._function(name, arrays, self.params.stride(0))
        return self._as_given(out), self._as_given(log_slope)

    def gradients(self, grad_out: Tensor, grad_log_slope: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients by values and by params."""
        params = self.params.contiguous()  # for one step of params and gradients
        grads = self._side_by_side(grad_out), self._side_by_side(grad_log_slope)
        grad_values, grad_params = torch.empty_like(self.values), torch.empty_like(params)
        if not self.values.numel():
            grad_params.zero_()
        arrays = (self.values, params, *grads, grad_values, None, grad_params)
        self._function("mixture_gradients", arrays, params.stride(0))
        return self._as_given(grad_values), grad_params

    def _function(self, name: str, arrays: tuple[Tensor | None, ...], step: int) -> None:
        addresses = (0 if array is None else array.data_ptr() for array in arrays)
        *sizes, limit, least, shift = self.options.numbers
        packed = _MIXTURE.pack(
            *addresses,
            self.failed.data_ptr(),
            self.values.numel(),
            step,
            max(1, self.group),
            *sizes,
            limit,
            least,
            shift,
        )
        function(name)(packed, self.values.dtype == torch.float64, torch.get_num_threads())

    def _side_by_side(self, tensor: Tensor) -> Tensor:
        if not self.axes:
            return tensor.contiguous()
        return tensor.reshape(self.group, -1).t().contiguous() if tensor.numel() else tensor.contiguous()

    def _as_given(self, tensor: Tensor) -> Tensor:
        return tensor.t().reshape(self.shape) if self.axes and tensor.numel() else tensor
