"""Augmentation: values drawn given the data give a flow more dimensions, and the likelihood becomes a bound."""

from __future__ import annotations

import torch
from torch import Tensor

from pushforward.domain import REAL
from pushforward.errors import OptionError, ShapeError
from pushforward.events import Shape
from pushforward.noise import NoiseValue, required_noise
from pushforward.transforms.base import Transform
from pushforward.transforms.conditional import ConditionalFlow


class Augment(Transform):
    """Augmentation of x by values e drawn given x, appended along axis 1 (coordinates or channels): ``z = (x, e)``.

    posterior: ``q(e | x)``, on the real line. The log term is ``-ln q(e | x)``, whose mean over e gives a lower bound.
    The bound is the tighter, the closer q is to the distribution of e given x under the transforms and the base that
    follow. `to_data` drops e. Sources: Chen, Lu, Chenli, Zhu & Tian, "VFlow: More expressive generative flows with
    variational data augmentation", 2020, eq. 6; Huang, Dinh & Courville, "Augmented normalizing flows", 2020, section
    3. Raises OptionError, ShapeError.

    >>> from pushforward.transforms import Augment
    >>> from pushforward.transforms.conditional import conditional_gaussian
    >>> step = Augment((2,), conditional_gaussian((1,), 2))
    >>> step.latent_shape, step.kind
    ((3,), 'bound')
    """

    kind = "bound"

    def __init__(self, event_shape: Shape, posterior: ConditionalFlow) -> None:
        super().__init__()
        if not event_shape or len(posterior.event_shape) != len(event_shape):
            raise ShapeError(
                f"an Augment of events {tuple(event_shape)} adds entries along axis 1, which {posterior.event_shape} "
                "are not"
            )
        if posterior.event_shape[1:] != tuple(event_shape[1:]):
            raise ShapeError(f"events {tuple(event_shape)} cannot be followed by {posterior.event_shape} along axis 1")
        if posterior.support != REAL:
            raise OptionError(f"an Augment adds values on the real line, but its posterior lies on {posterior.support}")
        self.posterior, self.eager = posterior, posterior.eager
        self.data_shape = tuple(event_shape)
        self.latent_shape = (event_shape[0] + posterior.event_shape[0], *event_shape[1:])
        self.noise_to_latent = posterior.noise

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        noise = required_noise(noise, self, "from which it draws the coordinates that it adds, in to_latent")
        e, log_q = self.posterior.draw(noise, x, context)
        return torch.cat([x, e], 1), -log_q

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        x, e = self._split(z)
        return x, self.posterior.log_prob(e, x, context)

    def path_noise(self, x: Tensor, z: Tensor, context: Tensor | None = None, back: NoiseValue = None) -> NoiseValue:
        return self.posterior.noise_of(self._split(z)[1], x, context)[0]

    def _split(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return z[:, : self.data_shape[0]], z[:, self.data_shape[0] :]
