"""The contract of every objective: rows in, the loss and its parts out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, NamedTuple, TypeAlias

from torch import Tensor, nn

from pushforward.density import Density
from pushforward.inputs import TensorLike
from pushforward.noise import NoiseSpec, NoiseValue


class Loss(NamedTuple):
    """A loss of a batch. value: the scalar to minimise, a mean over rows; parts: scalars by name, without a graph."""

    value: Tensor
    parts: dict[str, Tensor]


class Objective(nn.Module, ABC):
    """The loss of a flow on a batch, as a module that wrappers (DDP, torch.compile) and training loops call alike.

    The flow is a submodule: the objective's parameters are the flow's, without further ones. It is in training mode
    when the flow is.

    shown: the part that progress and metrics show. loss_name: the name under which they show it; None where it is a
    log-likelihood in nats.

    >>> import torch
    >>> from pushforward import flows
    >>> flow, x = flows.build("nice", event_shape=(2,), hidden=(8,)), torch.randn(16, 2)
    >>> flow.initialise(x)
    >>> flow.objective(x).value.backward()
    """

    shown: ClassVar[str] = "log_likelihood"
    loss_name: ClassVar[str | None] = None

    def __init__(self, flow: Density) -> None:
        super().__init__()
        self.flow = flow
        self.training = flow.training

    @property
    def noise(self) -> NoiseSpec:
        """The noise that a batch needs, as `pushforward.noise.draw` draws it."""
        return self.flow.transform.noise_to_latent

    def transform_noise(self, noise: NoiseValue) -> NoiseValue:
        """The part of a batch's noise that the flow's transform takes: all of it, unless the objective needs more."""
        return noise

    @property
    def eager(self) -> str | None:
        """The reason why ``torch.compile`` cannot make one graph of this objective, or None."""
        return self.flow.transform.eager

    @abstractmethod
    def forward(self, x: TensorLike, context: TensorLike | None = None, noise: NoiseValue = None) -> Loss:
        """The loss of rows ``x: (B, *event_shape)``, with a context for each where the flow has one.

        noise: as ``self.noise`` declares; drawn from torch's global generator where it is not given.
        """


# The factory of a flow's objective, which a flow's constructor takes.
MakeObjective: TypeAlias = Callable[[Density], Objective]
