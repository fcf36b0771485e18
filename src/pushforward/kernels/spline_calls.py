"""The calls of the library for the rational-quadratic spline: values and log-slopes, and their gradients."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from pushforward.kernels.library import function

# The structures of csrc/interface.h. Packing them as bytes costs a fraction of a structure of ctypes.
_OPTIONS = struct.Struct("@3q6d")
_ARRAYS = struct.Struct("@7P2q")
# A bin of each element lies in an array of this length on the stack.
MOST_BINS = 64


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

    @property
    def n_params(self) -> int:
        """The params of an element that the spline reads."""
        return 2 * self.bins + self.slopes

    @cached_property
    def packed(self) -> bytes:
        """The options as the library takes them."""
        numbers = (self.low, self.high, self.min_width, self.min_height, self.min_slope)
        offset = math.log(math.expm1(1 - self.min_slope))
        return _OPTIONS.pack(self.bins, self.slopes, self.tails, *numbers, offset)


def values_and_log_slopes(
    values: Tensor, params: Tensor, options: SplineOptions, inverse: bool
) -> tuple[Tensor, Tensor]:
    """Values and log-slopes of the spline, or of its inverse, in contiguous memory."""
    values, (params, step) = values.contiguous(), _in_rows(params)
    out, log_slope = torch.empty_like(values), torch.empty_like(values)
    arrays = _ARRAYS.pack(
        values.data_ptr(), params.data_ptr(), 0, 0, out.data_ptr(), log_slope.data_ptr(), 0, values.numel(), step
    )
    function("spline")(options.packed, arrays, values.dtype == torch.float64, inverse, torch.get_num_threads())
    return out, log_slope


def gradients(
    values: Tensor, params: Tensor, grad_out: Tensor, grad_log_slope: Tensor, options: SplineOptions, inverse: bool
) -> tuple[Tensor, Tensor]:
    """Gradients by values and by params, given those by the two results of `values_and_log_slopes`."""
    # The kernel has one step for the params and their gradients.
    values, params = values.contiguous(), params.contiguous()
    grad_out, grad_log_slope = grad_out.contiguous(), grad_log_slope.contiguous()
    grad_values, grad_params = torch.empty_like(values), torch.empty_like(params)
    if len(params) > options.n_params:  # params that are not the spline's own have no effect
        grad_params[options.n_params :].zero_()
    arrays = _ARRAYS.pack(
        values.data_ptr(), params.data_ptr(), grad_out.data_ptr(), grad_log_slope.data_ptr(),
        grad_values.data_ptr(), 0, grad_params.data_ptr(), values.numel(), params.stride(0),
    )  # fmt: skip
    function("spline_gradients")(
        options.packed, arrays, values.dtype == torch.float64, inverse, torch.get_num_threads()
    )
    return grad_values, grad_params


def _in_rows(params: Tensor) -> tuple[Tensor, int]:
    """Params whose elements are contiguous, as the kernel reads each parameter of many elements at once, and the step
    from parameter to parameter."""
    if not (params.is_contiguous() or params[0].is_contiguous()):
        params = params.contiguous()
    return params, params.stride(0)
