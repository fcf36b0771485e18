"""The contract of a density: the view of a flow that objectives and ``torch.distributions`` use."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from pushforward.bases import Base
from pushforward.events import Shape
from pushforward.inputs import Inputs, TensorLike
from pushforward.noise import NoiseValue
from pushforward.transforms.base import Direction, Transform


class Density(nn.Module, ABC):
    """A base and a transform that together have a density. Calling the module is `log_prob`."""

    base: Base
    transform: Transform
    event_shape: Shape

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype:
        """The dtype of the weights."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """The device of the weights."""

    @abstractmethod
    def prepare(
        self,
        x: TensorLike,
        context: TensorLike | None = None,
        noise: NoiseValue = None,
        generator: torch.Generator | None = None,
        direction: Direction = "to_latent",
    ) -> Inputs:
        """A batch as the transforms take it: checked, in the dtype of the weights, with embedded context and noise."""

    @abstractmethod
    def prepare_context(self, context: TensorLike | None, rows: int | None = None) -> Tensor | None:
        """A context as the transforms take it, one row or ``rows`` of them."""

    @abstractmethod
    def log_prob(
        self,
        x: TensorLike,
        context: TensorLike | None = None,
        noise: NoiseValue = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Log-density in nats, (B,), of ``x: (B, *event_shape)``."""

    @abstractmethod
    def sample(
        self,
        n: int,
        context: TensorLike | None = None,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """``n`` events: ``(n, *event_shape)``, or ``(n, B, *event_shape)`` for a context of ``B`` rows."""
