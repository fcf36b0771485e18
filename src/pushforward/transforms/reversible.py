"""Memory-saving training: the backward pass recomputes activations from the output, by the inverses of the steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from pushforward.differentiation import is_transformed, refuse_second_order
from pushforward.errors import OptionError
from pushforward.events import zero_log_term
from pushforward.module_state import ChangesInTraining
from pushforward.noise import NoiseValue
from pushforward.precision import present_precision
from pushforward.transforms.base import Chain, Direction, Transform

_FIRST_ORDER = (
    "Reversible steps have derivatives of the first order only; build the flow with memory_saving=False, or use a "
    "Chain instead of Reversible, for second ones"
)


class Reversible(Transform):
    """A chain of bijections whose activations are not stored for the gradients.

    Only the output is stored. The backward pass applies the inverses one step at a time, and runs and differentiates
    each step again. So it needs memory for the activations of one step instead of all, and one more pass in either
    direction. Gradients are those of a `Chain` as far as the round trip is exact; a second derivative is refused.
    Inside torch.func the steps run as in a `Chain`.

    Raises OptionError for steps whose second run would differ: noise, batch normalisation, dropout, and norms that
    power iterations update.

    Source: Gomez, Ren, Urtasun & Grosse, "The reversible residual network", 2017, section 3.

    >>> import torch
    >>> from pushforward.transforms import LULinear, Reversible
    >>> step = Reversible([LULinear(2), LULinear(2)])
    >>> step.to_latent(torch.randn(3, 2))[0].sum().backward()
    """

    eager = "its backward pass runs its steps again"

    def __init__(self, steps: Sequence[Transform]) -> None:
        super().__init__()
        self.chain = chain = Chain(steps)
        if not chain.is_bijection or chain.kind != "exact":
            raise OptionError("Reversible takes bijections without noise")
        for module in chain.modules():
            changes = isinstance(module, ChangesInTraining | nn.modules.batchnorm._BatchNorm)
            if changes or (isinstance(module, nn.Dropout) and module.p > 0):
                raise OptionError(
                    f"Reversible runs its steps twice, and {type(module).__name__} would give another result the "
                    "second time; leave one of the two out"
                )
        self.data_shape, self.latent_shape = chain.data_shape, chain.latent_shape
        self.domain, self.codomain = chain.domain, chain.codomain

    def parts(self) -> Sequence[Transform]:
        return self.chain.parts()

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        if not torch.is_grad_enabled() or is_transformed():
            return self.chain.to_latent(x, context)
        return self._run("to_latent", list(self.chain), x, context)

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        if not torch.is_grad_enabled() or is_transformed():
            return self.chain.to_data(z, context)
        return self._run("to_data", list(self.chain)[::-1], z, context)

    def _run(
        self, direction: Direction, transforms: list[Transform], value: Tensor, context: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        steps = [_Step(transform, direction) for transform in transforms]
        parameters = [parameter for step in steps for parameter in step.parameters()]
        out: tuple[Tensor, Tensor] = _Run.apply(steps, value, context, *parameters)  # type: ignore[no-untyped-call]
        return out

    def initialise(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> None:
        self.chain.initialise(x, context)


class _Step(nn.Module):
    """A transform as a function of one direction, so that `functional_call` can run it with given parameters."""

    def __init__(self, transform: Transform, direction: Direction) -> None:
        super().__init__()
        self.transform, self.direction = transform, direction

    def forward(self, value: Tensor, context: Tensor | None, back: bool = False) -> tuple[Tensor, Tensor]:
        if (self.direction == "to_latent") is not back:
            return self.transform.to_latent(value, context)
        return self.transform.to_data(value, context)


class _Run(torch.autograd.Function):
    """Steps in order, of which only the output is stored.

    The parameters are arguments, and the steps run with these in the backward pass, because the modules may hold others
    by then.
    """

    @staticmethod
    def forward(
        ctx: Any, steps: list[_Step], value: Tensor, context: Tensor | None, *parameters: Tensor
    ) -> tuple[Tensor, Tensor]:
        log_term = zero_log_term(value)
        for step in steps:
            value, term = step(value, context)
            log_term = log_term + term
        ctx.steps, ctx.precision = steps, present_precision(value)
        ctx.save_for_backward(value, context, *parameters)
        return value, log_term

    @staticmethod
    def backward(ctx: Any, grad: Tensor, grad_log_term: Tensor) -> tuple[Tensor | None, ...]:
        with torch.no_grad():
            gradients = _Run._gradients(ctx, grad, grad_log_term)
        needed = [i for i, gradient in enumerate(gradients) if gradient is not None]
        given = tuple(gradient for gradient in gradients if gradient is not None)
        # The output depends on the input, which is not stored.
        depends = tuple(value for value in ctx.saved_tensors if value is not None)
        refusing = dict(zip(needed, refuse_second_order(given, depends, _FIRST_ORDER), strict=True))
        return tuple(refusing.get(i) for i in range(len(gradients)))

    @staticmethod
    def _gradients(ctx: Any, grad: Tensor, grad_log_term: Tensor) -> tuple[Tensor | None, ...]:
        value, context, *parameters = ctx.saved_tensors
        wanted = ctx.needs_input_grad[3:]
        grads: list[Tensor | None] = []
        of_value: Tensor | None = grad
        grad_context: Tensor | None = None
        stop = len(parameters)
        for step in reversed(ctx.steps):
            names = [name for name, _ in step.named_parameters()]
            stop, span = stop - len(names), slice(stop - len(names), stop)
            weights = [p.detach().requires_grad_(w) for p, w in zip(parameters[span], wanted[span], strict=True)]
            context_leaf = None if context is None else context.detach().requires_grad_(ctx.needs_input_grad[2])
            given = dict(zip(names, weights, strict=True))
            with ctx.precision():
                with torch.no_grad():
                    value = functional_call(step, given, (value, context_leaf, True))[0].detach()
                with torch.enable_grad():
                    outputs = functional_call(step, given, (value.requires_grad_(), context_leaf))
            of_outputs = of_value, grad_log_term
            of_value, from_context, *of_weights = _gradients(outputs, of_outputs, [value, context_leaf, *weights])
            grads[:0] = of_weights
            if from_context is not None:
                grad_context = from_context if grad_context is None else grad_context + from_context
        return None, of_value if ctx.needs_input_grad[1] else None, grad_context, *grads


def _gradients(
    outputs: tuple[Tensor, ...], grads: tuple[Tensor | None, ...], inputs: list[Tensor | None]
) -> list[Tensor | None]:
    """The gradients of the outputs, some of which may be constant, for those inputs that need one."""
    moving = [(out, grad) for out, grad in zip(outputs, grads, strict=True) if out.requires_grad]
    wanting = [i for i in inputs if i is not None and i.requires_grad]
    gradients = iter(torch.autograd.grad([o for o, _ in moving], wanting, [g for _, g in moving], allow_unused=True))
    return [next(gradients) if i is not None and i.requires_grad else None for i in inputs]
