"""An unnormalised log-density as the target of inference, checked at each call."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from pushforward.density import Density
from pushforward.errors import OptionError, ShapeError

# Called as log_density(x), or as log_density(x, context) for a flow with a context.
LogDensity: TypeAlias = Callable[..., Tensor]


class Target:
    """``log_density``, which takes ``x: (B, *event_shape)`` to ``(B,)``, each value depending on its own row alone.

    context: ``(B, *context_shape)`` or labels (B,), as the user gave them, where the flow has a context.
    """

    def __init__(self, log_density: LogDensity) -> None:
        self.log_density = log_density

    def __call__(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Log-densities ``(B,)``; raises OptionError, ShapeError for other results."""
        if context is not None and context.is_floating_point():
            # The flow standardises contexts in their own precision; a user's formula mixes them with x.
            context = context.to(x.dtype)
        values = self.log_density(x) if context is None else self.log_density(x, context)
        if not isinstance(values, Tensor):
            raise OptionError(f"log_density must return a tensor with one value a row, got {type(values).__name__}")
        if tuple(values.shape) != (x.shape[0],):
            raise ShapeError(
                f"log_density must return one value a row, shape ({x.shape[0]},) for x of shape {tuple(x.shape)}, "
                f"got shape {tuple(values.shape)}"
            )
        return values

    def with_gradient(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Log-densities ``(B,)`` and their gradients in ``x``, both without a graph; raises OptionError for none."""
        x = x.detach().requires_grad_()
        value = self(x, context)
        gradient = torch.autograd.grad(value.sum(), x, allow_unused=True)[0] if value.requires_grad else None
        if gradient is None:
            raise OptionError(
                "log_density carries no gradient to x: write it in torch operations on x, "
                "without detach(), item(), numpy or no_grad()"
            )
        return value.detach(), gradient


def require_exact(flow: Density) -> None:
    """Raise OptionError for a flow whose own density is not exact, and so not known at its samples."""
    if flow.transform.kind != "exact":
        raise OptionError(
            f"inference needs a flow whose log_prob is exact, this one's is of kind {flow.transform.kind}; "
            "build it for real values, without levels"
        )
