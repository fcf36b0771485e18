"""The contract of transforms that are fitted one after the other, each to the latents which reach it."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from pushforward.events import zero_log_term
from pushforward.noise import NoiseValue
from pushforward.option_checks import at_least_one
from pushforward.transforms.base import Transform


class GreedyTransform(Transform):
    """A transform of vectors ``(features,)`` whose state is fitted to the latents that reach it, without gradients
    through the steps around it.

    The state is in buffers of shapes that do not depend on data, and until `fit_layer` the step is exactly the
    identity; so a Chain of many such steps can be built, saved and compiled before their number is known. ``fitted``
    marks the fitted ones. Their base is the standard normal.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.data_shape = self.latent_shape = (at_least_one(features, f"features of a {type(self).__name__}"),)
        self.fitted = nn.Buffer(torch.zeros((), dtype=torch.bool))

    @property
    def features(self) -> int:
        return self.data_shape[0]

    @torch.no_grad()
    def fit(self, z: Tensor, context: Tensor | None, generator: torch.Generator) -> None:
        """Set the state from the latents ``z: (N, features)`` of the training rows and their contexts.

        generator: on the CPU; the source of all random numbers in the state.
        """
        self.fit_layer(z, context, generator)
        self.fitted.fill_(True)

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        return (x, zero_log_term(x)) if self._idle() else self.run(x, context, back=False)

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        return (z, zero_log_term(z)) if self._idle() else self.run(z, context, back=True)

    def _idle(self) -> bool:
        """Whether the step is known to be the identity, so that it can be skipped.

        A graph is the same whichever steps are fitted: there the step runs, and its result is the identity.
        """
        return not (torch.compiler.is_compiling() or self.fitted.is_meta or bool(self.fitted))

    @abstractmethod
    def run(self, v: Tensor, context: Tensor | None, back: bool) -> tuple[Tensor, Tensor]:
        """`to_latent`, or `to_data` with ``back``, with the present state; the identity before `fit`."""

    @abstractmethod
    def fit_layer(self, z: Tensor, context: Tensor | None, generator: torch.Generator) -> None:
        """Fit the state of this kind of step; called by `fit`."""
