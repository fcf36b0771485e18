"""Samples of a flow with their gradients, and the two ways to the path gradient of the evidence lower bound.

With x = T(z) and the flow's weights t, the reparameterised gradient of E[log p~(x) - log q_t(x)] is

    (grad_x log p~(x) - grad_x log q_t(x)) dx/dt  -  d log q_t(x) / dt at fixed x.

The last term, the score, has mean zero; the *path gradient* leaves it out, and so has no variance at all where q = p
(Roeder, Wu & Duvenaud, "Sticking the landing", 2017). It needs grad_x log q(x) at a sample:

- by scoring: one pass of ``log_prob`` and its gradient in x. For most flows a step then costs about half as much again
  as with the plain gradient; where `to_latent` goes coordinate by coordinate or seeks roots, many times as much.
- by the Jacobian: the gradient in z of the log-density, which sampling has computed, solved with the transposed
  Jacobian dx/dz, one backward pass for each coordinate. No `to_latent` at all, but only for a few coordinates.
  (Vaitl, Nicoli, Nakajima & Kessel, "Gradients should stay on path", 2022, keep to the sampling direction likewise.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from pushforward import noise as noise_source
from pushforward.flow import Flow
from pushforward.inference.target import Target

# Samples are scored again where that takes at most so many times the operations of drawing them. Flows lie far apart:
# 0.01 to 1.2 where `to_latent` is one pass, about 10 for 8 coordinates that have to be found one after the other.
_DEAR = 3.0
# So many coordinates are few: a step then takes at most about twice the time of one with the plain gradient.
_FEW = 4

Route: TypeAlias = Literal["scoring", "jacobian"]


@dataclass(frozen=True)
class Draw:
    """Samples ``x: (B, *event_shape)``, the latents they come from, and log q ``(B,)``, all with their graph."""

    z: Tensor
    x: Tensor
    log_q: Tensor


@dataclass(frozen=True)
class Bound:
    """The bound at samples. value: its mean over the ``usable`` (B,) ones, NaN without any; log_p: log p~ ``(B,)``."""

    value: Tensor
    log_p: Tensor
    usable: Tensor


def draw(flow: Flow, n: int, context: Tensor | None, generator: torch.Generator) -> Draw:
    """``n`` samples in the mode that the flow is in, one for each row of ``context`` where there is one."""
    context = flow.prepare_context(context, n)
    z = flow.base.sample(n, context, generator=generator, dtype=flow.dtype, device=flow.device)
    if not z.requires_grad:
        z.requires_grad_()
    noise = noise_source.draw(flow.transform.noise_to_data, n, flow.dtype, flow.device, generator)
    x, log_term = flow.transform.to_data(z, context, noise)
    return Draw(z, x, flow.base.log_prob(z, context) - log_term)


def backward(
    flow: Flow, target: Target, route: Route | None, drawn: Draw, context: Tensor | None, weight: float = 1.0
) -> Bound:
    """Add the gradient of minus the bound, by ``route`` or plain, to those of the flow's parameters.

    weight: of log p~ in the gradient; the value that is returned is the bound's own. Samples where log p~ or a gradient
    is not finite are left out. The target is met by its value and its gradient at the samples alone, so that what is
    not finite there is cut off from the flow: multiplied by 0 it would be NaN.
    """
    log_p, pull = target.with_gradient(drawn.x, context)
    pull = weight * pull
    if route is not None:
        pull = pull - grad_log_q(flow, route, drawn, context)
    log_weight = log_p - drawn.log_q.detach()
    usable = log_weight.isfinite() & pull.reshape(len(pull), -1).isfinite().all(1)
    share = usable / usable.sum()
    rows = (-1,) + (1,) * (pull.ndim - 1)
    pull = torch.where(usable.reshape(rows), pull, 0.0) * share.reshape(rows).to(pull)
    if route is not None:
        torch.autograd.backward(drawn.x, -pull)
    else:
        torch.autograd.backward([drawn.x, drawn.log_q], [-pull, share.to(drawn.log_q)])
    return Bound(torch.where(usable, log_weight, 0.0).sum() / usable.sum(), log_p, usable)


def grad_log_q(flow: Flow, route: Route, drawn: Draw, context: Tensor | None) -> Tensor:
    """The gradient of log q in x at the samples, ``(B, *event_shape)``; not finite where it cannot be found."""
    if route == "jacobian":
        return _by_jacobian(drawn)
    x = drawn.x.detach().requires_grad_()
    gradient: Tensor = torch.autograd.grad(flow.log_prob(x, context).sum(), x)[0]
    return gradient


def _by_jacobian(drawn: Draw) -> Tensor:
    z, x = drawn.z, drawn.x.flatten(1)
    rows = [torch.autograd.grad(x[:, i].sum(), z, retain_graph=True)[0].flatten(1) for i in range(x.shape[1])]
    (in_latent,) = torch.autograd.grad(drawn.log_q.sum(), z, retain_graph=True)
    # Not linalg.solve, which raises for the whole batch where one Jacobian is singular.
    gradient: Tensor = torch.linalg.solve_ex(torch.stack(rows, 2), in_latent.flatten(1)[:, :, None]).result
    return gradient.reshape(drawn.x.shape)


def choose_route(
    flow: Flow, wanted: Literal["auto", "path", "reparameterised"], context: Tensor | None
) -> tuple[Route | None, str | None]:
    """How to come to the path gradient, None for the plain one, and what to tell of the choice where it costs.

    context: one row, where the flow has a context.
    """
    if wanted == "reparameterised":
        return None, None
    times = scoring_cost(flow, context)
    if times <= _DEAR:
        return "scoring", None
    sizes = {math.prod(flow.event_shape), math.prod(flow.transform.latent_shape)}
    if len(sizes) == 1 and sizes.pop() <= _FEW:
        return "jacobian", None
    found = f"scoring a sample takes {times:.0f} times the operations of drawing it"
    if wanted == "path":
        return "scoring", f"{found}, which a path gradient does at every step; gradient='reparameterised' does not"
    return None, f"{found}: the plain reparameterised gradient is taken (gradient='path' takes the other one)"


@torch.no_grad()
def scoring_cost(flow: Flow, context: Tensor | None) -> float:
    """How many times the torch calls of drawing a few samples it takes to score them.

    A count and not a time, so that the choice that hangs on it is the same in each run.
    """
    batch = 8
    context = None if context is None else context.expand(batch, *context.shape[1:])
    generator = torch.Generator(flow.device).manual_seed(0)
    with _Calls() as drawing:
        drawn = draw(flow, batch, context, generator)
    with _Calls() as scoring:
        flow.log_prob(drawn.x, context)
    return float(scoring.count / max(1, drawing.count))


class _Calls(TorchFunctionMode):
    """Counts calls of torch functions inside."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def reached(flow: Flow, context: Tensor | None) -> tuple[list[nn.Parameter], list[str]]:
    """The parameters that samples depend on differentiably, and the names of those that they do not.

    The weights of a mixture base are such: which component a sample comes from is a choice. context: one row.
    """
    named = [(name, p) for name, p in flow.named_parameters() if p.requires_grad]
    x = draw(flow, 1, context, torch.Generator(flow.device).manual_seed(0)).x
    found = torch.autograd.grad(x.sum(), [p for _, p in named], allow_unused=True) if named else ()
    pairs = list(zip(named, found, strict=True))
    return [p for (_, p), g in pairs if g is not None], [name for (name, _), g in pairs if g is None]
