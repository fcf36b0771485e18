"""What training raises where that is not the likelihood itself."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from pushforward.bases import Base
from pushforward.errors import OptionError
from pushforward.noise import NoiseValue
from pushforward.transforms.base import Chain, Transform, steps
from pushforward.transforms.continuous import Continuous, charged

Path: TypeAlias = Literal["optimal-transport", "variance-preserving"]
Coupling: TypeAlias = Literal["independent", "optimal"]
# How narrow the Gaussian around a datum is where its path begins.
_NARROW = 1e-4


class Objective(ABC):
    """One number for each row, whose mean training raises in place of the log-density.

    loss_name: what its negative is called where it is printed; None where the number is a log-likelihood in nats.
    """

    loss_name: str | None = None

    @abstractmethod
    def values(self, base: Base, transform: Transform, x: Tensor, context: Tensor | None, noise: NoiseValue) -> Tensor:
        """(B,), of ``x: (B, *event_shape)`` with the noise that ``transform.noise_to_latent`` wants."""


@dataclass(frozen=True)
class RegularisedLikelihood(Objective):
    """The log-density, with the gradient of it less what the way to the latent costs, see `charged`."""

    def values(self, base: Base, transform: Transform, x: Tensor, context: Tensor | None, noise: NoiseValue) -> Tensor:
        with charged(transform) as costs:
            z, log_term = transform.to_latent(x, context, noise)
        value = base.log_prob(z, context) + log_term
        # The number stays a likelihood, as it is printed.
        return value - sum(cost - cost.detach() for cost in costs)


@dataclass(frozen=True)
class FlowMatching(Objective):
    """Minus the squared distance, a mean over coordinates, of the velocity from that of a path from datum to noise.

    A chain's one `Continuous` learns it at a random time of each row; no equation is solved. What comes before it is
    applied and not trained. path: straight lines, the ``optimal-transport`` path of Lipman, Chen, Ben-Hamu, Nickel &
    Le, "Flow matching for generative modeling", 2023, eq. 20 to 23; or ``cos(pi t / 2) x + sin(pi t / 2) e``, which
    keeps the variance, Albergo & Vanden-Eijnden, "Building normalizing flows with stochastic interpolants", 2023,
    eq. 8. coupling: which noise belongs to which datum of a batch, any, or by the ``optimal`` assignment in squared
    distance: straighter ways, Tong et al., "Improving and generalizing flow-based generative models with minibatch
    optimal transport", 2024. Raises OptionError.
    """

    path: Path = "optimal-transport"
    coupling: Coupling = "independent"

    loss_name = "flow-matching loss"

    def values(self, base: Base, transform: Transform, x: Tensor, context: Tensor | None, noise: NoiseValue) -> Tensor:
        y, step = _before(transform, x, context, noise)
        e = torch.randn_like(y)
        if self.coupling == "optimal":
            e = e[assigned(y, e)]
        t = torch.rand(y.shape[0], dtype=y.dtype, device=y.device)
        at, velocity = along(self.path, y, e, t.reshape(-1, *(1,) * (y.ndim - 1)))
        found: Tensor = step.field(t, at, context)
        return -(found - velocity).square().flatten(1).mean(1)


def along(path: Path, x: Tensor, e: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Where the path from data x, at time 0, to noise e is at time t, and its velocity there."""
    if path == "optimal-transport":
        return (1 - t) * x + (_NARROW + (1 - _NARROW) * t) * e, (1 - _NARROW) * e - x
    angle = t * (math.pi / 2)
    return angle.cos() * x + angle.sin() * e, (math.pi / 2) * (angle.cos() * e - angle.sin() * x)


def assigned(x: Tensor, e: Tensor) -> Tensor:
    """For each row of x the row of e that the assignment with the least sum of squared distances gives it."""
    from scipy.optimize import linear_sum_assignment

    distances = torch.cdist(x.flatten(1), e.flatten(1)).square()
    return torch.as_tensor(linear_sum_assignment(distances.cpu().numpy())[1], device=e.device)


def _before(transform: Transform, x: Tensor, context: Tensor | None, noise: NoiseValue) -> tuple[Tensor, Continuous]:
    """What reaches the chain's one `Continuous`, and this."""
    chain = steps(transform)
    found = [i for i, step in enumerate(chain) if isinstance(step, Continuous)]
    if len(found) != 1:
        raise OptionError(f"flow matching trains one Continuous in a chain, found {len(found)}")
    noises = noise if isinstance(noise, tuple) and isinstance(transform, Chain) else (noise,) * len(chain)
    with torch.no_grad():
        for step, own in zip(chain[: found[0]], noises, strict=False):
            x = step.to_latent(x, context, own)[0]
    last = chain[found[0]]
    assert isinstance(last, Continuous)
    return x, last
