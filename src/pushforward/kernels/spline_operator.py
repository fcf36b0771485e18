"""The kernel of the spline as operators of torch, which a compiled graph calls."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pushforward.errors import OptionError, ShapeError
from pushforward.kernels.checks import DTYPES
from pushforward.kernels.spline_calls import MOST_BINS, SplineOptions, gradients, values_and_log_slopes

_OPTIONS = (
    "int bins, int slopes, int tails, float low, float high, float min_width, float min_height, float min_slope, "
    "bool inverse"
)
_LIBRARY = torch.library.Library("pushforward", "DEF")
_LIBRARY.define(f"spline(Tensor values, Tensor params, {_OPTIONS}) -> (Tensor, Tensor)")
_LIBRARY.define(
    "spline_gradients(Tensor values, Tensor params, Tensor grad_out, Tensor grad_log_slope, "
    f"{_OPTIONS}) -> (Tensor, Tensor)"
)


def spline_operator(values: Tensor, params: Tensor, options: SplineOptions, inverse: bool) -> tuple[Tensor, Tensor]:
    """The spline by ``torch.ops.pushforward.spline``, which has first derivatives only."""
    sizes = (options.bins, options.slopes, options.tails, options.low, options.high)
    minima = (options.min_width, options.min_height, options.min_slope)
    out: tuple[Tensor, Tensor] = torch.ops.pushforward.spline(values, params, *sizes, *minima, inverse)
    return out


def _spline(values: Tensor, params: Tensor, *options: Any) -> tuple[Tensor, Tensor]:
    return values_and_log_slopes(values, params, _checked(values, params, *options[:-1]), options[-1])


def _spline_gradients(
    values: Tensor, params: Tensor, grad_out: Tensor, grad_log_slope: Tensor, *options: Any
) -> tuple[Tensor, Tensor]:
    checked = _checked(values, params, *options[:-1])
    for grad in (grad_out, grad_log_slope):
        if grad.shape != values.shape or grad.dtype != values.dtype:
            raise ShapeError(
                f"gradients of shape {tuple(values.shape)} in {values.dtype} expected, as the values have, got "
                f"{tuple(grad.shape)} in {grad.dtype}"
            )
    return gradients(values, params, grad_out, grad_log_slope, checked, options[-1])


def _checked(values: Tensor, params: Tensor, *numbers: Any) -> SplineOptions:
    """The options of a call, which anybody can make: the library reads the memory that they describe."""
    options = SplineOptions(*numbers)
    if values.dtype not in DTYPES:
        raise OptionError(f"values in torch.float32 or torch.float64 expected, got {values.dtype}")
    bins, slopes, tails = options.bins, options.slopes, options.tails
    if not (2 <= bins <= MOST_BINS and abs(slopes - bins) <= 1 and 0 <= tails <= 2):
        raise OptionError(
            f"2 to {MOST_BINS} bins, at most one slope more or less than bins and tails of 0, 1 or 2 expected, got "
            f"{bins}, {slopes} and {tails}"
        )
    expected = (options.n_params, *values.shape)
    if len(params) < expected[0] or params.shape[1:] != values.shape or params.dtype != values.dtype:
        raise ShapeError(
            f"params of shape {expected} in {values.dtype} expected for values of shape {tuple(values.shape)}, got "
            f"{tuple(params.shape)} in {params.dtype}"
        )
    return options


def _fake_spline(values: Tensor, params: Tensor, *options: Any) -> tuple[Tensor, Tensor]:
    return _rows_like(values), _rows_like(values)


def _fake_gradients(
    values: Tensor, params: Tensor, grad_out: Tensor, grad_log_slope: Tensor, *options: Any
) -> tuple[Tensor, Tensor]:
    return _rows_like(values), _rows_like(params)


def _rows_like(values: Tensor) -> Tensor:
    return torch.empty_like(values, memory_format=torch.contiguous_format)


def _keep_inputs(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs[:2])
    ctx.options = inputs[2:]


def _backward(ctx: Any, grad_out: Tensor, grad_log_slope: Tensor) -> tuple[Tensor | None, ...]:
    grads = torch.ops.pushforward.spline_gradients(*ctx.saved_tensors, grad_out, grad_log_slope, *ctx.options)
    return *grads, *(None for _ in ctx.options)


def _refuse(ctx: Any, *gradients: Tensor) -> Any:
    raise OptionError(
        "the operator torch.ops.pushforward.spline has no second derivatives; take them from the map of "
        "pushforward.maps.RationalQuadraticSpline, outside torch.compile"
    )


_LIBRARY.impl("spline", _spline, "CPU")
_LIBRARY.impl("spline_gradients", _spline_gradients, "CPU")
torch.library.register_fake("pushforward::spline", _fake_spline, lib=_LIBRARY)
torch.library.register_fake("pushforward::spline_gradients", _fake_gradients, lib=_LIBRARY)
torch.library.register_autograd("pushforward::spline", _backward, setup_context=_keep_inputs, lib=_LIBRARY)
torch.library.register_autograd("pushforward::spline_gradients", _refuse, lib=_LIBRARY)
