"""The rational-quadratic spline of each element, and its gradients, as one pass over memory each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pushforward.kernels.checks import gradients_by_operations, takes_gradients, takes_tensors
from pushforward.kernels.spline_calls import MOST_BINS, SplineOptions, gradients, values_and_log_slopes
from pushforward.kernels.spline_operator import spline_operator

# Of values and params: value and log-slope, the same computation in torch's operations.
Reference = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def takes_spline(values: Tensor, params: Tensor, options: SplineOptions) -> bool:
    """Whether `spline` can compute this here: on the CPU, in single or double precision, outside torch.func."""
    return (
        options.bins <= MOST_BINS
        and len(params) >= options.n_params
        and params.shape[1:] == values.shape
        and takes_tensors(values, params)
    )


def spline(
    values: Tensor, params: Tensor, options: SplineOptions, inverse: bool, reference: Reference
) -> tuple[Tensor, Tensor]:
    """Value and log-slope of the spline, or of its inverse, at ``values: (*shape)`` with ``params: (P, *shape)``.

    reference: the same computation, whose derivatives are the second derivatives. A compiled graph holds the operator
    instead of the direct call, whose overhead is several times smaller.
    """
    if torch.compiler.is_compiling():
        return spline_operator(values, params, options, inverse)
    if torch.is_grad_enabled() and (values.requires_grad or params.requires_grad):
        return _Spline.apply(values, params, options, inverse, reference)  # type: ignore[no-untyped-call, no-any-return]
    return values_and_log_slopes(values, params, options, inverse)


class _Spline(torch.autograd.Function):
    """The spline, whose backward recomputes it from its inputs: nothing else is kept."""

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, params: Tensor, options: SplineOptions, inverse: bool, reference: Reference
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(values, params)
        ctx.options, ctx.inverse, ctx.reference = options, inverse, reference
        return values_and_log_slopes(values, params, options, inverse)

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor, grad_log_slope: Tensor) -> tuple[Tensor | None, ...]:
        values, params = ctx.saved_tensors
        grads = (grad_out, grad_log_slope)
        if takes_gradients(*grads):
            return *gradients(values, params, *grads, ctx.options, ctx.inverse), None, None, None
        wanted = ctx.needs_input_grad[:2]
        return *gradients_by_operations(ctx.reference, (values, params), wanted, grads), None, None, None
