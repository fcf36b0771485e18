"""Differentiation inside torch.func and in inference mode, and derivatives of limited order.

A hand-written derivative, a loop that ends when it has converged and a backward pass inside a forward pass need care in
each of these. Where one of them is not possible, an `OptionError` names an alternative.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from pushforward.errors import OptionError
from pushforward.noise import NoiseValue
from pushforward.threads import WorkCounter


def is_transformed() -> bool:
    """Whether a transformation of torch.func or a level of forward-mode differentiation is active.

    False for code that is being compiled, whose graph must not depend on it.
    """
    if torch.compiler.is_compiling():
        return False
    return bool(torch._C._are_functorch_transforms_active()) or forward_ad._current_level >= 0


def uses_plain_formulas() -> bool:
    """Whether a formula should run as plain operations, which torch.compile and torch.func differentiate themselves.

    An `autograd.Function` makes the compiler warn, and inside two nested forward-mode transformations of torch.func its
    second derivative would be 0.
    """
    return torch.compiler.is_compiling() or is_transformed()


def takes_operators() -> bool:
    """Whether an operator of our own can compute: not inside torch.func or forward mode, in a program that is exported,
    which has to run without this package, or under a mode that records or replaces torch's operations. Modes that only
    count operations are allowed.
    """
    if torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0:
        return False
    if torch.compiler.is_compiling():
        return not torch.compiler.is_exporting()
    if torch._C._is_tracing():
        return False
    modes = torch._C._len_torch_dispatch_stack()
    return modes == 0 or all(isinstance(mode, WorkCounter) for mode in _get_current_dispatch_mode_stack())


def is_batch_of_gradients(*gradients: Tensor) -> bool:
    """Whether these are many gradients at once, as ``torch.autograd.grad(..., is_grads_batched=True)`` asks for: no
    operation may write them into a tensor."""
    return any(map(torch._C._functorch.is_legacy_batchedtensor, gradients))


def forward_levels() -> int:
    """The number of nested forward-mode transformations of torch.func."""
    stack = torch._C._functorch.get_interpreter_stack() or ()
    return sum(interpreter.key() == torch._C._functorch.TransformType.Jvp for interpreter in stack)


def decided(condition: Tensor, what: str) -> bool:
    """The value of a tensor of one element on which a loop or a branch depends; what: a plural noun for the message.

    Raises OptionError inside ``torch.func.vmap``, where there is one value for each row.
    """
    refuse_vmap(what, condition)
    return bool(condition)


def refuse_vmap(what: str, *values: Tensor | None) -> None:
    """Raise OptionError where ``torch.func.vmap`` runs over one of the values; what: a plural noun for the message."""
    if any(value is not None and _is_batched(value) for value in values):
        raise OptionError(
            f"{what} depend on the values for when they end, and cannot run inside torch.func.vmap; pass all rows as "
            "one batch, which treats each row by itself"
        )


def _is_batched(value: Tensor) -> bool:
    functorch = torch._C._functorch
    while functorch.is_gradtrackingtensor(value):
        value = functorch.get_unwrapped(value)
    return bool(functorch.is_batchedtensor(value))


def channels_last(h: Tensor) -> Tensor:
    """Images with their channels innermost in memory, the faster layout of convolutions; unchanged inside torch.func,
    whose tensors have no other layout."""
    return h if is_transformed() else h.contiguous(memory_format=torch.channels_last)


def added(fresh: Tensor, other: Tensor) -> Tensor:
    """``fresh + other`` in the memory of ``fresh``, which nothing else may use, not even a backward pass.

    A new tensor inside torch.func, where ``other`` may have an axis more, and where ``other`` has another dtype.
    """
    if fresh.dtype != other.dtype or is_transformed():
        return fresh + other
    return fresh.add_(other)


def pullback(g: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """``g(x)``, always with a graph, and the function that maps w to ``w^T dg/dx``.

    Both are differentiable in turn where gradients are enabled: now for the value, at each call for the function.
    """
    if is_transformed():
        value, pulled = torch.func.vjp(g, x)[:2]
        return value, lambda w: pulled(w)[0]
    wanted = torch.is_grad_enabled()
    with torch.enable_grad():
        # Hooks on x itself belong to the outer backward pass.
        at = x.view_as(x) if wanted and x.requires_grad else x.detach().requires_grad_()
        y = g(at)

    def pull(w: Tensor) -> Tensor:
        return torch.autograd.grad(y, at, w, create_graph=torch.is_grad_enabled(), retain_graph=True)[0]

    return (y if wanted else y.detach()), pull


def jacobian_row(pull: Callable[[Tensor], Tensor], y: Tensor, i: int) -> Tensor:
    """Row i of the Jacobian of every row of ``y: (B, ...)``, flat ``(B, D)``; pull: of `pullback`."""
    one = torch.zeros_like(y).flatten(1)
    one[:, i] = 1
    return pull(one.reshape(y.shape)).flatten(1)


@contextmanager
def outside_inference_mode(
    x: Tensor, context: Tensor | None, noise: NoiseValue
) -> Iterator[tuple[Tensor, Tensor | None, NoiseValue]]:
    """The arguments of a pass that differentiates inside, usable for that: without gradients, not in inference mode."""
    if not torch.is_inference_mode_enabled():
        yield x, context, noise
        return
    with torch.inference_mode(False), torch.no_grad():
        yield ordinary(x), None if context is None else ordinary(context), _ordinary_noise(noise)


def ordinary(value: Tensor) -> Tensor:
    """A tensor that autograd accepts: a copy, if it was made in inference mode and is used outside of it."""
    if torch.compiler.is_compiling() or torch.is_inference_mode_enabled():
        return value
    return value.clone() if value.is_inference() else value


def _ordinary_noise(noise: NoiseValue) -> NoiseValue:
    if isinstance(noise, tuple):
        return tuple(_ordinary_noise(part) for part in noise)
    return None if noise is None else ordinary(noise)


def with_first_order(values: tuple[Tensor, ...], problem: str) -> tuple[Tensor, ...]:
    """The values, with gradients of the first order only; ``problem`` is the OptionError of a second derivative.

    Forward-mode derivatives raise it too.
    """
    if not values:
        return values
    marked: tuple[Tensor, ...] = _FirstOrder.apply(problem, *values)  # type: ignore[no-untyped-call]
    return marked


def refuse_second_order(gradients: tuple[Tensor, ...], values: tuple[Tensor, ...], problem: str) -> tuple[Tensor, ...]:
    """Gradients whose derivatives by anything that ``values`` depend on raise an OptionError with ``problem``."""
    if not (gradients and torch.is_grad_enabled()):
        return gradients
    refusing: tuple[Tensor, ...] = _Refusal.apply(problem, len(gradients), *gradients, *values)  # type: ignore[no-untyped-call]
    return refusing


def implicit_gradient(value: Tensor, through: Callable[[Tensor], Tensor], problem: str) -> Tensor:
    """``value``, whose gradient passes ``through`` a function; of the first order only.

    problem: the OptionError of a second derivative, and of one in forward mode.
    """
    out: Tensor = _Implicit.apply(problem, through, value)  # type: ignore[no-untyped-call]
    return out


class _Implicit(torch.autograd.Function):
    """The identity with another gradient."""

    generate_vmap_rule = True

    @staticmethod
    def forward(problem: str, through: Callable[[Tensor], Tensor], value: Tensor) -> Tensor:
        return value.view_as(value)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.problem, ctx.through = inputs[:2]
        ctx.save_for_backward(inputs[2])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, Tensor]:
        return None, None, refuse_second_order((ctx.through(gradient),), ctx.saved_tensors, ctx.problem)[0]

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        raise OptionError(ctx.problem)


class _FirstOrder(torch.autograd.Function):
    """The identity of several tensors, whose gradients refuse to be differentiated."""

    generate_vmap_rule = True

    @staticmethod
    def forward(problem: str, *values: Tensor) -> tuple[Tensor, ...]:
        return tuple(value.view_as(value) for value in values)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.problem = inputs[0]
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return None, *refuse_second_order(gradients, ctx.saved_tensors, ctx.problem)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        raise OptionError(ctx.problem)


class _Refusal(torch.autograd.Function):
    """The first ``count`` tensors, as depending on all of them in a way that cannot be differentiated."""

    generate_vmap_rule = True

    @staticmethod
    def forward(problem: str, count: int, *values: Tensor) -> tuple[Tensor, ...]:
        return tuple(value.view_as(value) for value in values[:count])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.problem = inputs[0]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        raise OptionError(ctx.problem)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        raise OptionError(ctx.problem)
