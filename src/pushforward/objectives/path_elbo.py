"""The evidence lower bound on an unnormalised density, with its path gradient or the plain reparameterised one.

With x = T(z) and the flow's weights t, the reparameterised gradient of E[log p~(x) - log q_t(x)] is

    (grad_x log p~(x) - grad_x log q_t(x)) dx/dt  -  d log q_t(x) / dt at fixed x.

The last term, the score, has mean zero; the *path gradient* leaves it out, and so has no variance at all where q = p
(Roeder, Wu & Duvenaud, "Sticking the landing", 2017). It needs grad_x log q(x) at a sample:

- by scoring: one pass of ``log_prob`` and its gradient in x. For most flows a step then costs about half as much again
  as with the plain gradient; where `to_latent` runs coordinate by coordinate or solves for roots, many times as much.
- by the Jacobian: the gradient in z of the log-density, which sampling has computed, solved with the transposed
  Jacobian dx/dz, one backward pass for each coordinate. No `to_latent` at all, but only for a few coordinates.
  (Vaitl, Nicoli, Nakajima & Kessel, "Gradients should stay on path", 2022, keep to the sampling direction likewise.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

import torch
from torch import Tensor

from pushforward import noise as noise_source
from pushforward.density import Density
from pushforward.differentiation import refuse_second_order
from pushforward.errors import OptionError
from pushforward.inputs import TensorLike, as_tensor
from pushforward.noise import NoiseSpec, NoiseValue
from pushforward.objectives.objective import Loss, Objective
from pushforward.objectives.target import LogDensity, Target

_FIRST_ORDER = (
    "the evidence lower bound with its path gradient has derivatives of the first order only, in reverse mode; average "
    "log_density(x) - log q(x) over the samples of flow.sample_and_log_prob for others"
)

Route: TypeAlias = Literal["scoring", "jacobian"]


@dataclass(frozen=True)
class Draw:
    """Samples ``x: (B, *event_shape)``, the latents they come from, and log q ``(B,)``, all with their graph."""

    z: Tensor
    x: Tensor
    log_q: Tensor


class PathELBO(Objective):
    """Minus the evidence lower bound E_q[log p~(x) - log q(x)] of the flow q, over samples x of it.

    Its rows are latents drawn from the base, as `draw` gives them. log_density: log p~, from ``x: (B, *event_shape)``,
    and the context where the flow has one, to ``(B,)``. route: how the path gradient computes grad_x log q(x); None:
    the plain reparameterised gradient.

    The loss has the bound's value and the gradient of its estimator. Samples where log p~ or a gradient is not finite
    are left out of both, and counted in the part ``left_out``. Only the target's value and gradient at the samples
    enter the loss, because a value that is not finite would give NaN even when multiplied by 0.

    >>> import torch
    >>> from pushforward import flows
    >>> from pushforward.objectives import PathELBO
    >>> flow = flows.build("nice", event_shape=(2,), hidden=(8,), base="normal", standardise=False)
    >>> objective = PathELBO(flow, lambda x: -0.5 * x.square().sum(1))
    >>> objective(flow.base.sample(16)).value.backward()
    """

    shown: ClassVar[str] = "elbo"

    def __init__(self, flow: Density, log_density: LogDensity, route: Route | None = "scoring") -> None:
        super().__init__(flow)
        self.target, self.route = Target(log_density), route

    @property
    def noise(self) -> NoiseSpec:
        return self.flow.transform.noise_to_data

    def draw(self, n: int, context: Tensor | None, generator: torch.Generator) -> tuple[Tensor, NoiseValue]:
        """``n`` latents with their graph, one for each row of ``context`` where there is one, and their noise."""
        return draw_latents(self.flow, n, context, generator)

    def forward(
        self, x: TensorLike, context: TensorLike | None = None, noise: NoiseValue = None, weight: float = 1.0
    ) -> Loss:
        """The loss at latents ``x: (B, *latent_shape)``; weight: of log p~ in the gradient, not in the value."""
        context = None if context is None else as_tensor(context, "context")
        drawn = samples(self.flow, x, context, noise)
        log_p, pull = self.target.with_gradient(drawn.x, context)
        pull = weight * pull
        if self.route is not None:
            pull = pull - grad_log_q(self.flow, self.route, drawn, context)
        log_weight = log_p - drawn.log_q.detach()
        usable = log_weight.isfinite() & pull.reshape(len(pull), -1).isfinite().all(1)
        fraction = usable / usable.sum()
        rows = (-1,) + (1,) * (pull.ndim - 1)
        pull = torch.where(usable.reshape(rows), pull, 0.0) * fraction.reshape(rows).to(pull)
        elbo = torch.where(usable, log_weight, 0.0).sum() / usable.sum()
        gradients = [(drawn.x, -pull)]
        if self.route is None:
            gradients.append((drawn.log_q, fraction.to(drawn.log_q)))
        return Loss(with_gradient(-elbo, *gradients), {"elbo": elbo, "left_out": (~usable).sum()})

    @torch.no_grad()
    def nonfinite(self, x: Tensor, context: Tensor | None, noise: NoiseValue) -> str:
        """Say which value is not finite where the loss at latents ``x``, or a gradient of the weights, is not."""
        drawn = samples(self.flow, x, context, noise)
        if not drawn.x.isfinite().all():
            return "the flow's samples are not finite"
        with torch.enable_grad():
            log_p, pull = self.target.with_gradient(drawn.x, context)
        n = len(log_p)
        if (log_p == -math.inf).all():
            return f"log_density is -inf at all {n} samples: the flow lies outside of its support"
        if not log_p.isfinite().any():
            return f"log_density is not finite at any of {n} samples (the first gives {log_p[0]:g})"
        if not (log_p.isfinite() & pull.reshape(n, -1).isfinite().all(1)).any():
            return f"log_density is finite, but gradients are not, at any of {n} samples"
        gradients = ((name, p.grad) for name, p in self.flow.named_parameters() if p.grad is not None)
        broken = (name for name, gradient in gradients if not gradient.isfinite().all())
        return f"the gradient of {next(broken, 'the weights')} is not finite, though those of log_density are"


def draw_latents(
    flow: Density, n: int, context: Tensor | None, generator: torch.Generator
) -> tuple[Tensor, NoiseValue]:
    """``n`` latents from the base with their graph, and the noise that takes them to the data."""
    embedded = flow.prepare_context(context, n)
    z = flow.base.sample(n, embedded, generator=generator, dtype=flow.dtype, device=flow.device)
    return z, noise_source.draw(flow.transform.noise_to_data, n, flow.dtype, flow.device, generator)


def samples(flow: Density, z: TensorLike, context: Tensor | None, noise: NoiseValue) -> Draw:
    """The samples of latents ``z``, in the mode that the flow is in."""
    latents, embedded, noise = flow.prepare(z, context, noise=noise, direction="to_data")
    if not latents.requires_grad:
        latents = latents.detach().requires_grad_()
    x, log_term = flow.transform.to_data(latents, embedded, noise)
    return Draw(latents, x, flow.base.log_prob(latents, embedded) - log_term)


def draw(flow: Density, n: int, context: Tensor | None, generator: torch.Generator) -> Draw:
    """``n`` samples with their graph, one for each row of ``context`` where there is one."""
    z, noise = draw_latents(flow, n, context, generator)
    return samples(flow, z, context, noise)


def grad_log_q(flow: Density, route: Route, drawn: Draw, context: Tensor | None) -> Tensor:
    """The gradient of log q in x at the samples, ``(B, *event_shape)``; not finite where it cannot be computed."""
    if route == "jacobian":
        return _by_jacobian(drawn)
    x = drawn.x.detach().requires_grad_()
    gradient: Tensor = torch.autograd.grad(flow.log_density(flow.prepare(x, context)).sum(), x)[0]
    return gradient


def _by_jacobian(drawn: Draw) -> Tensor:
    z, x = drawn.z, drawn.x.flatten(1)
    rows = [torch.autograd.grad(x[:, i].sum(), z, retain_graph=True)[0].flatten(1) for i in range(x.shape[1])]
    (in_latent,) = torch.autograd.grad(drawn.log_q.sum(), z, retain_graph=True)
    # Not linalg.solve, which raises for the whole batch where one Jacobian is singular.
    gradient: Tensor = torch.linalg.solve_ex(torch.stack(rows, 2), in_latent.flatten(1)[:, :, None]).result
    return gradient.reshape(drawn.x.shape)


def with_gradient(value: Tensor, *gradients: tuple[Tensor, Tensor]) -> Tensor:
    """A scalar with the value of ``value``, whose gradient in the first tensor of each pair is the second one."""
    flat = [tensor for pair in gradients for tensor in pair]
    out: Tensor = _WithGradient.apply(value, *flat)  # type: ignore[no-untyped-call]
    return out


class _WithGradient(torch.autograd.Function):
    """A copy of the first argument; the others are tensors and their gradients in turn."""

    @staticmethod
    def forward(value: Tensor, *flat: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> Any:
        tensors, gradients = ctx.saved_tensors[::2], ctx.saved_tensors[1::2]
        scaled = tuple(outer.to(gradient) * gradient for gradient in gradients)
        found: list[Tensor | None] = [None]
        for gradient in refuse_second_order(scaled, tensors, _FIRST_ORDER):
            found += [gradient, None]
        return tuple(found)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        raise OptionError(_FIRST_ORDER)
