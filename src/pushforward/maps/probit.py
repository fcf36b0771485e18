"""The logit of the normal distribution function, ``log Phi(y) - log Phi(-y)``, and its inverse.

The inverse is the probit of a sigmoid. The logit of a probability is accurate in both tails, where the probability or
its complement would round to 1. Both functions continue linearly beyond ``|y| = 10,000``: the results for any number up
to 1e30 are finite in float32.

With the hazard ``h(y) = phi(y) / Phi(-y)`` of the normal distribution, the logit's slope is ``h(y) / Phi(y)``, and the
derivative of the log of that slope ``h(y) - h(-y) - y``.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from pushforward.differentiation import forward_levels
from pushforward.errors import OptionError

_HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)
_ROOT_HALF = math.sqrt(0.5)
# The linear continuations begin here, at a density of e^-5e7.
_FAR = 1e4
_FAR_LOGIT = _FAR**2 / 2 + _HALF_LOG_TAU + math.log(_FAR + 1 / _FAR)
# The logit up to which a sigmoid is a normal number in float32, and torch's ndtri of it is accurate to the last digit.
_MIDDLE = 80.0
# Below this a hazard is 0 to rounding; its reciprocal and two derivatives of that are still finite in float32.
_SAFE = -12.0


def logit_of_normal(y: Tensor) -> tuple[Tensor, Tensor]:
    """``log Phi(y) - log Phi(-y)`` and the log of its slope in y, element by element."""
    if torch.compiler.is_compiling():  # torch's compiler warns of any hand-written derivative; see `_Logit` for ours
        return _logit(y)
    logit, log_slope = _Logit.apply(y)  # type: ignore[no-untyped-call]
    return logit, log_slope


def probit_of_logit(u: Tensor) -> tuple[Tensor, Tensor]:
    """The inverse of `logit_of_normal`, ``Phi^-1(sigmoid(u))``, and the log of its slope in u, element by element."""
    if torch.compiler.is_compiling():
        return _probit(u)
    y, log_slope = _Probit.apply(u)  # type: ignore[no-untyped-call]
    return y, log_slope


class _Logit(torch.autograd.Function):
    """`_logit` with derivatives of any order; autograd's own lose accuracy in the tails, second ones completely."""

    generate_vmap_rule = True

    @staticmethod
    def forward(y: Tensor) -> tuple[Tensor, Tensor]:
        return _logit(y)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(inputs[0], output[1])
        ctx.save_for_forward(inputs[0], output[1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor, grad_log_slope: Tensor) -> Tensor:
        y, log_slope = ctx.saved_tensors
        gradient: Tensor = grad * log_slope.exp() + grad_log_slope * _growth(y)
        return gradient

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> tuple[Tensor, Tensor]:
        _refuse_nested_forward_mode()
        y, log_slope = ctx.saved_tensors
        return tangent * log_slope.exp(), tangent * _growth(y)


class _Probit(torch.autograd.Function):
    """`_probit` with derivatives of any order."""

    generate_vmap_rule = True

    @staticmethod
    def forward(u: Tensor) -> tuple[Tensor, Tensor]:
        return _probit(u)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(*output)
        ctx.save_for_forward(*output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor, grad_log_slope: Tensor) -> Tensor:
        y, log_slope = ctx.saved_tensors
        gradient: Tensor = (grad - grad_log_slope * _growth(y)) * log_slope.exp()
        return gradient

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> tuple[Tensor, Tensor]:
        _refuse_nested_forward_mode()
        y, log_slope = ctx.saved_tensors
        moved = tangent * log_slope.exp()
        return moved, -moved * _growth(y)


def _refuse_nested_forward_mode() -> None:
    """Raise OptionError where torch takes the second derivative of an `autograd.Function` for 0."""
    if forward_levels() > 1:
        raise OptionError(
            "torch.func.jvp (or jacfwd) inside another one gives no second derivative of a probit map; "
            "use torch.func.hessian, or jacfwd of grad"
        )


def _logit(y: Tensor) -> tuple[Tensor, Tensor]:
    inside, log_slope = y.clamp(-_FAR, _FAR), _log_slope(y)
    logit = torch.special.log_ndtr(inside) - torch.special.log_ndtr(-inside)
    return logit + log_slope.exp() * (y - inside), log_slope


def _probit(u: Tensor) -> tuple[Tensor, Tensor]:
    inside = u.clamp(-_FAR_LOGIT, _FAR_LOGIT)
    # Computed from the smaller of the two probabilities, which is accurate. Abs and sign have no slope at 0.
    side = torch.where(u > 0, -1.0, 1.0).to(u)
    lower = side * inside
    middle = torch.special.ndtri(torch.sigmoid(lower.clamp(min=-_MIDDLE)))
    y = side * torch.where(lower < -_MIDDLE, -_tail(-lower.clamp(max=-_MIDDLE)), middle)
    log_slope = -_log_slope(y)
    return y + log_slope.exp() * (u - inside), log_slope


def _log_slope(y: Tensor) -> Tensor:
    """The log of the logit's slope, which is even in y."""
    size = y.abs().clamp(max=_FAR)
    log_slope: Tensor = _hazard(size).log() - torch.special.log_ndtr(size)
    return log_slope


def _growth(y: Tensor) -> Tensor:
    """The derivative of `_log_slope`, which is odd in y, and 0 on the linear continuations."""
    inside = y.clamp(-_FAR, _FAR)
    return torch.where(y.abs() < _FAR, _hazard(inside) - _hazard(-inside) - inside, 0.0)


def _hazard(y: Tensor) -> Tensor:
    """``phi(y) / Phi(-y)``."""
    hazard: Tensor = 2 * _ROOT_HALF / math.sqrt(math.pi) / torch.special.erfcx(_ROOT_HALF * y.clamp(min=_SAFE))
    return hazard


def _tail(logit: Tensor) -> Tensor:
    """The t with ``-log Phi(-t) = logit``, by one step of Halley's method from an expansion accurate to 1e-6."""
    # t^2 / 2 + log(2 pi) / 2 + log h(t) = logit, where h(t) = t (1 + 1 / t^2 - ...).
    twice = 2 * (logit - _HALF_LOG_TAU)
    square = twice - (twice - twice.log()).log()
    t = (twice - square.log() - 2 / square).sqrt()
    hazard = _hazard(t)
    step = (t.square() / 2 + _HALF_LOG_TAU + hazard.log() - logit) / hazard
    return t - step / (1 - 0.5 * step * (hazard - t))
