"""The rational-quadratic spline of each element, and its gradients, as one pass over memory each."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from pushforward.differentiation import uses_plain_formulas
from pushforward.kernels.library import library

# A bin of each element lies in an array of this length on the stack.
MOST_BINS = 64
_DTYPES = (torch.float32, torch.float64)


class _Options(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("bins", "slopes", "tails")),
        *((name, ctypes.c_double) for name in ("low", "high", "min_width", "min_height", "min_slope", "offset")),
    )


class _Arrays(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("values", "params", "grad_out", "grad_log_slope")),
        *((name, ctypes.c_void_p) for name in ("out", "log_slope", "grad_params")),
        *((name, ctypes.c_int64) for name in ("count", "step")),
    )


@dataclass(frozen=True)
class SplineOptions:
    """A spline of K ``bins`` from the interval [low, high] onto itself.

    slopes: number of raw slopes at knots, K - 1 (slope 1 at the two outer knots), K (the last knot has the first one's)
    or K + 1. tails: 0, the identity outside [-high, high]; 1, none, and the log-slope outside is -inf; 2, none,
    for values that lie inside. min_width, min_height: of a bin, as fractions of the interval; min_slope: at a knot.
    """

    bins: int
    slopes: int
    tails: int
    low: float
    high: float
    min_width: float
    min_height: float
    min_slope: float


@lru_cache(maxsize=256)
def _packed(options: SplineOptions) -> Any:
    """The options as the library takes them."""
    numbers = (options.low, options.high, options.min_width, options.min_height, options.min_slope)
    offset = math.log(math.expm1(1 - options.min_slope))
    return ctypes.byref(_Options(options.bins, options.slopes, options.tails, *numbers, offset))


# Of values and params: value and log-slope, the same computation in torch's operations.
Reference = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def takes_spline(values: Tensor, params: Tensor, bins: int) -> bool:
    """Whether `spline` can compute this here: on the CPU, in single or double precision, outside torch.func."""
    return (
        values.device.type == "cpu"
        and values.dtype == params.dtype
        and values.dtype in _DTYPES
        and bins <= MOST_BINS
        and params.shape[1:] == values.shape
        and not uses_plain_formulas()
        and library() is not None
    )


def spline(
    values: Tensor, params: Tensor, options: SplineOptions, inverse: bool, reference: Reference
) -> tuple[Tensor, Tensor]:
    """Value and log-slope of the spline, or of its inverse, at ``values: (*shape)`` with ``params: (P, *shape)``.

    reference: the same computation, whose derivatives are the second derivatives.
    """
    if torch.is_grad_enabled() and (values.requires_grad or params.requires_grad):
        return _Spline.apply(values, params, options, inverse, reference)  # type: ignore[no-untyped-call, no-any-return]
    return _values(values, params, options, inverse)


class _Spline(torch.autograd.Function):
    """The spline, whose backward recomputes it from its inputs: nothing else is kept."""

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, params: Tensor, options: SplineOptions, inverse: bool, reference: Reference
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(values, params)
        ctx.options, ctx.inverse, ctx.reference = options, inverse, reference
        return _values(values, params, options, inverse)

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor, grad_log_slope: Tensor) -> tuple[Tensor | None, ...]:
        values, params = ctx.saved_tensors
        if torch.is_grad_enabled():  # a second derivative may be asked for
            inputs = [tensor for tensor, wanted in zip((values, params), ctx.needs_input_grad, strict=False) if wanted]
            out = ctx.reference(values, params)
            grads = iter(torch.autograd.grad(out, inputs, (grad_out, grad_log_slope), create_graph=True))
            return *(next(grads) if wanted else None for wanted in ctx.needs_input_grad[:2]), None, None, None
        return *_gradients(values, params, grad_out, grad_log_slope, ctx.options, ctx.inverse), None, None, None


def _values(values: Tensor, params: Tensor, options: SplineOptions, inverse: bool) -> tuple[Tensor, Tensor]:
    values, params = values.contiguous(), _in_rows(params)
    out, log_slope = torch.empty_like(values), torch.empty_like(values)
    arrays = _Arrays(
        values.data_ptr(), params.data_ptr(), None, None, out.data_ptr(), log_slope.data_ptr(), None, *_layout(params)
    )
    _library().pushforward_spline(_packed(options), ctypes.byref(arrays), *_call(values, inverse))
    return out, log_slope


def _gradients(
    values: Tensor, params: Tensor, grad_out: Tensor, grad_log_slope: Tensor, options: SplineOptions, inverse: bool
) -> tuple[Tensor, Tensor]:
    values, params = values.contiguous(), _in_rows(params)
    grad_out, grad_log_slope = grad_out.contiguous(), grad_log_slope.contiguous()
    grad_values, grad_params = torch.empty_like(values), torch.empty_like(params)
    # What the caller has beside the spline's own params does not enter here.
    grad_params[2 * options.bins + options.slopes :].zero_()
    pointers = (t.data_ptr() for t in (values, params, grad_out, grad_log_slope))
    arrays = _Arrays(*pointers, grad_values.data_ptr(), None, grad_params.data_ptr(), *_layout(params))
    _library().pushforward_spline_gradients(_packed(options), ctypes.byref(arrays), *_call(values, inverse))
    return grad_values, grad_params


def _library() -> ctypes.CDLL:
    loaded = library()
    assert loaded is not None  # `takes_spline` has said so
    return loaded


def _call(values: Tensor, inverse: bool) -> tuple[int, int, int]:
    """Whether numbers are double, whether the direction is the inverse one, and the number of threads."""
    return int(values.dtype == torch.float64), int(inverse), torch.get_num_threads()


def _in_rows(params: Tensor) -> Tensor:
    """Params whose elements are contiguous: the kernel reads each parameter of many elements at once."""
    return params if params[0].is_contiguous() else params.contiguous()


def _layout(params: Tensor) -> tuple[int, int]:
    """Count of elements, and the step from parameter to parameter."""
    return params[0].numel(), params.stride(0)
