"""Knots of splines: from unconstrained numbers to the bin of each coordinate, and slopes at the knots.

A spline is computed on the unit interval, where the widths and heights of its bins are fractions of 1. The formulas
take only the few numbers per coordinate that describe the bin of a value.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pushforward.differentiation import is_batch_of_gradients, uses_plain_formulas
from pushforward.errors import OptionError
from pushforward.events import leading_axis
from pushforward.maps.slopes import positive_slope

# Largest slope: a raw slope of 1e6, which extreme inputs of a net may cause, would overflow float32 downstream.
LARGEST_SLOPE = 1e3


def check_bins(bins: int, minima: dict[str, float]) -> None:
    """Raise OptionError unless ``bins`` >= 2 and each minimum is above 0 and leaves room for ``bins`` of its size."""
    if bins < 2:
        raise OptionError(f"a spline needs at least 2 bins, got {bins}")
    for name, minimum in minima.items():
        if not 0 < minimum * bins < 1:
            raise OptionError(
                f"{name} must be above 0 and below 1 / bins = {1 / bins:g} (a fraction of the interval), got {minimum}"
            )


def knot_slope(raw: Tensor, minimum: float) -> Tensor:
    """The slope at a knot, 1 for ``raw`` 0; raw slopes above 1,000 count as 1,000."""
    return positive_slope(raw.clamp(max=LARGEST_SLOPE), minimum)


def find_bin(t: Tensor, params: Tensor, bins: int, axis: int, minimum: float) -> tuple[Tensor, Tensor, Tensor]:
    """The softmax of raw widths and heights, the bin of each coordinate, and the sum of the softmax before that bin.

    t: in [0, 1]; params: K = ``bins`` raw widths, K raw heights, and more. axis: 0 to look for ``t`` among the widths,
    1 among the heights, of which bin k is ``minimum + (1 - K minimum) softmax[k]`` wide. A knot belongs to the bin that
    begins there, and 1 to the last one, however the sums are rounded. Returns (2, K, *shape), (*shape), (2, *shape).
    """
    parts = params[: 2 * bins].unflatten(0, (2, bins)).softmax(1)
    t = torch.where(t >= 1, math.inf, t)
    ramp = leading_axis(minimum * torch.arange(1, bins, dtype=t.dtype, device=t.device), t.ndim + 1)
    ended = t >= torch.add(ramp, parts[axis, :-1].cumsum(0), alpha=1 - bins * minimum)
    return parts, ended.sum(0), (parts[:, :-1] * ended.to(t.dtype)).sum(1)


def bin_of(part: Tensor, before: Tensor, index: Tensor, bins: int, minimum: float) -> tuple[Tensor, Tensor]:
    """Left end and width of the bin ``index``, given its softmax ``part`` and the sum of those ``before`` it.

    The last bin ends at exactly 1, see `up_to_the_end`.
    """
    fraction = 1 - bins * minimum
    left = torch.add(minimum * index.to(part.dtype), before, alpha=fraction)
    return up_to_the_end(left, minimum + fraction * part, index == bins - 1)


def up_to_the_end(left: Tensor, width: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
    """Left ends and widths of bins, with the ``last`` bin widened or narrowed to end at exactly 1.

    The rounding of a sum is large relative to a narrow bin: 1e-4 of a bin of 0.001 in float32, over which the slope may
    fall to a fraction. Gradients are those of the given width, which is the same number before rounding.
    """
    left = left.clamp(max=1 - torch.finfo(left.dtype).eps)
    value = width.detach()
    return left, torch.where(last, 1 - left.detach(), value) + (width - value)


def along(t: Tensor, left: Tensor, width: Tensor) -> Tensor:
    """The position of ``t`` within its bin, in [0, 1].

    At ``t`` = 1 the gradient by the parameters is cut: rounding of it would be multiplied by the distance of clamped
    inputs.
    """
    end = t >= 1
    return ((t - torch.where(end, 1.0, left)) / width + end.to(t.dtype)).clamp(0, 1)


def own_bin(
    t: Tensor, params: Tensor, bins: int, slopes: int, axis: int, minimum: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The parameters of the bin of each coordinate, selected from the params (P, *shape) of all bins.

    t: (*shape) in [0, 1]. params: K = ``bins`` raw widths, K raw heights, ``slopes`` raw slopes at knots, and more.
    axis: 0 to look for ``t`` among the widths, 1 among the heights; minimum: of those.
    Returns (2, *shape), for widths and heights, the sum of the softmax before the bin; (2, *shape), the softmax of the
    bin itself; (2, *shape), the raw slopes at its two ends; and its index (*shape).
    """
    arguments = t, params, bins, slopes, axis, minimum
    if uses_plain_formulas():  # a compiler fuses the plain formulas and their gradients itself
        return _own_bin(*arguments)[:4]
    before, part, ends, index, _ = _OwnBin.apply(*arguments)  # type: ignore[no-untyped-call]
    return before, part, ends, index


def _own_bin(
    t: Tensor, params: Tensor, bins: int, slopes: int, axis: int, minimum: float
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    parts, index, before = find_bin(t, params, bins, axis, minimum)
    part = parts.gather(1, index.expand(2, 1, *index.shape)).squeeze(1)
    ends = params[2 * bins : 2 * bins + slopes].gather(0, _knots(index, bins, slopes))
    return before, part, ends, index, parts


class _OwnBin(torch.autograd.Function):
    """`own_bin`, with one more output, the whole softmax (2, K, *shape), which second derivatives need.

    Its backward fills one buffer of the size of ``params``. Autograd's own backward of the same formulas allocates
    several, and takes twice as long as the rest of a spline.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(t: Tensor, params: Tensor, bins: int, slopes: int, axis: int, minimum: float) -> tuple[Tensor, ...]:
        return _own_bin(t, params, bins, slopes, axis, minimum)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        before, part, _, index, parts = output
        ctx.save_for_backward(before, part, index, parts)
        ctx.mark_non_differentiable(index)
        ctx.set_materialize_grads(False)
        ctx.n_params, ctx.bins, ctx.slopes = inputs[1].shape[0], inputs[2], inputs[3]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        before, part, index, parts = ctx.saved_tensors
        bins, slopes = ctx.bins, ctx.slopes
        g_before, g_part, g_ends = (before.new_zeros(before.shape) if g is None else g for g in grads[:3])
        g_parts, chosen, knots = grads[4], index.expand(2, 1, *index.shape), _knots(index, bins, slopes)
        ended = leading_axis(torch.arange(bins, device=index.device), index.ndim + 1) < index
        # The softmax's own derivative: the gradient less its mean under the softmax, times the softmax.
        mean = g_before * before + g_part * part
        if torch.is_grad_enabled() or g_parts is not None or is_batch_of_gradients(mean):
            inner = torch.where(ended, g_before[:, None], 0.0).scatter_add(1, chosen, g_part[:, None]) - mean[:, None]
            if g_parts is not None:
                inner = inner + g_parts - (g_parts * parts).sum(1, keepdim=True)
            at_knots = g_ends.new_zeros(slopes, *index.shape).scatter_add(0, knots, g_ends)
            rest = g_ends.new_zeros(ctx.n_params - 2 * bins - slopes, *index.shape)
            return (
                None,
                torch.cat([(inner * parts).reshape(2 * bins, *index.shape), at_knots, rest]),
                None,
                None,
                None,
                None,
            )
        grad = mean.new_zeros(ctx.n_params, *index.shape)
        raw = grad[: 2 * bins].unflatten(0, (2, bins))
        raw.copy_(ended).mul_(g_before[:, None]).sub_(mean[:, None]).scatter_add_(1, chosen, g_part[:, None]).mul_(
            parts
        )
        grad[2 * bins : 2 * bins + slopes].scatter_add_(0, knots, g_ends)
        return None, grad, None, None, None, None


def _knots(index: Tensor, bins: int, slopes: int) -> Tensor:
    """The indices of the ``slopes`` at the two ends of bin ``index``: (2, *shape).

    bins + 1 slopes: one at each knot; bins: the last knot has the first's; bins - 1: none at the outer knots, where the
    returned index is arbitrary.
    """
    if slopes == bins - 1:
        return torch.stack([index - 1, index]).clamp(0, slopes - 1)
    return torch.stack([index, (index + 1) % slopes])


def through_interval(
    curve: Callable[[Tensor], tuple[Tensor, Tensor]], v: Tensor, bound: float
) -> tuple[Tensor, Tensor]:
    """A function of the unit interval onto itself, moved to [-bound, bound] and continued with the slopes at its ends.

    curve: returns value and log-slope for values in [0, 1].
    """
    t = (v + bound) / (2 * bound)
    inner = t.clamp(0, 1)
    u, log_slope = curve(inner)
    # Values outside are clamped to the nearest end and get its log-slope.
    return bound * (2 * (u + log_slope.exp() * (t - inner)) - 1), log_slope
