"""The gradient of a fit to a log-density: the choice of its estimator, and the parameters that it reaches."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from pushforward.flow import Flow
from pushforward.objectives.path_elbo import Route, draw

# The path gradient scores the samples again if that takes at most this many times the operations of sampling. Flows
# differ widely: 0.01 to 1.2 if `to_latent` is one pass, about 10 for 8 coordinates computed one after the other.
_MAX_SCORING_COST = 3.0
# Up to this many coordinates a step takes at most about twice the time of a step with the plain gradient.
_MAX_JACOBIAN_COORDINATES = 4


def choose_route(
    flow: Flow, wanted: Literal["auto", "path", "reparameterised"], context: Tensor | None
) -> tuple[Route | None, str | None]:
    """The method for the path gradient, or None for the plain gradient, and a message if the choice is expensive.

    context: one row, if the flow has a context.
    """
    if wanted == "reparameterised":
        return None, None
    times = scoring_cost(flow, context)
    if times <= _MAX_SCORING_COST:
        return "scoring", None
    sizes = {math.prod(flow.event_shape), math.prod(flow.transform.latent_shape)}
    if len(sizes) == 1 and sizes.pop() <= _MAX_JACOBIAN_COORDINATES:
        return "jacobian", None
    found = f"scoring a sample takes {times:.0f} times the operations of drawing it"
    if wanted == "path":
        return "scoring", f"{found}, and a path gradient scores at every step; gradient='reparameterised' avoids that"
    return None, f"{found}: using the plain reparameterised gradient (gradient='path' uses the path gradient)"


@torch.enable_grad()
def scoring_cost(flow: Flow, context: Tensor | None) -> float:
    """The number of torch calls of scoring a few samples, as a multiple of that of drawing them.

    Calls are counted, not timed, so that the choice of the gradient is the same in each run. They are those of steps
    with gradients by the samples, without which a kernel may compute a whole layer in one.
    """
    batch = 8
    context = None if context is None else context.expand(batch, *context.shape[1:])
    generator = torch.Generator(flow.device).manual_seed(0)
    with _Calls() as drawing:
        drawn = draw(flow, batch, context, generator)
    with _Calls() as scoring:
        flow.log_prob(drawn.x.detach().requires_grad_(), context)
    return float(scoring.count / max(1, drawing.count))


class _Calls(TorchFunctionMode):
    """A counter of the torch functions called inside."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def reached(flow: Flow, context: Tensor | None) -> tuple[list[nn.Parameter], list[str]]:
    """The parameters that receive gradients from samples, and the names of the others.

    The weights of a mixture base receive none, because the choice of a component is not differentiable. context: one
    row.
    """
    named = [(name, p) for name, p in flow.named_parameters() if p.requires_grad]
    x = draw(flow, 1, context, torch.Generator(flow.device).manual_seed(0)).x
    found = torch.autograd.grad(x.sum(), [p for _, p in named], allow_unused=True) if named else ()
    pairs = list(zip(named, found, strict=True))
    return [p for (_, p), g in pairs if g is not None], [name for (name, _), g in pairs if g is None]
