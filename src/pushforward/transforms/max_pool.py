"""Max pooling, which halves the sides of images."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pushforward.domain import Domain
from pushforward.errors import OptionError, ShapeError
from pushforward.events import Shape, zero_log_term
from pushforward.noise import Noise, NoiseValue, part_noise, required_noise
from pushforward.transforms.base import Transform
from pushforward.transforms.conditional import Conditional, HalfLine
from pushforward.transforms.spatial import halved

# For each place of the maximum: the pixels of a block with the maximum first, and the position of each pixel in that
# list.
_LISTED = ((0, 1, 2, 3), (1, 0, 2, 3), (2, 0, 1, 3), (3, 0, 1, 2))
_PLACES = ((0, 1, 2, 3), (1, 0, 2, 3), (1, 2, 0, 3), (1, 2, 3, 0))


class MaxPool2d(Transform):
    """Max pooling of 2 x 2 blocks of pixels: images ``(C, H, W)`` become ``(C, H/2, W/2)``.

    The maximum is equally likely at each of the four places of its block, ``-ln 4`` per block. Its differences from the
    other pixels are positive and have the density ``rest`` given the maxima, of images ``(3C, H/2, W/2)`` (three of a
    channel side by side, in the order of the pixels) on (0, inf); None: half-normal, with a scale for each channel. The
    likelihood is exact, because other pixels lie below the maximum and no mass is lost. `to_data` draws places and
    differences. Any of several equal pixels may count as the maximum.

    Source: Nielsen, Jaini, Hoogeboom, Winther & Welling, "SurVAE flows", 2020, section 3.2, appendix C, and the
    authors' code. Raises ShapeError, OptionError.

    >>> import torch
    >>> from pushforward.transforms import MaxPool2d
    >>> step = MaxPool2d((1, 4, 4))
    >>> z, log_term = step.to_latent(torch.rand(2, 1, 4, 4))
    >>> z.shape, step.kind
    (torch.Size([2, 1, 2, 2]), 'exact')
    """

    def __init__(self, event_shape: Shape, rest: Conditional | None = None) -> None:
        super().__init__()
        self.data_shape, self.latent_shape = tuple(event_shape), halved(event_shape, "MaxPool2d")
        dropped = (3 * event_shape[0], *self.latent_shape[1:])
        self.rest: Conditional = HalfLine(dropped) if rest is None else rest
        if self.rest.event_shape != dropped:
            raise ShapeError(f"rest of a MaxPool2d must be of events {dropped}, it is of {self.rest.event_shape}")
        if self.rest.support != Domain("real", 0.0):
            raise OptionError(f"rest of a MaxPool2d must lie on positive numbers, it lies on {self.rest.support}")
        self.eager = self.rest.eager
        self.noise_to_data = (Noise(self.latent_shape, "uniform"), self.rest.noise)
        self._log_places = math.log(4) * math.prod(self.latent_shape)
        self._listed = nn.Buffer(torch.tensor(_LISTED), persistent=False)
        self._places = nn.Buffer(torch.tensor(_PLACES), persistent=False)

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        # Axes: batch, channel, row pair, column pair, pixel of the block.
        blocks = x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).movedim(3, 4).flatten(4)
        listed = blocks.gather(4, self._listed[blocks.argmax(4)])
        z = listed[..., 0]
        excess = (z[..., None] - listed[..., 1:]).movedim(4, 2).flatten(1, 2)
        return z, self.rest.log_prob(excess, z, context) - self._log_places

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        for_places, for_rest = part_noise(noise, 2)
        uniform = required_noise(for_places, self, "of the places, in to_data")
        excess, log_p = self.rest.draw(required_noise(for_rest, self, "of the rest, in to_data"), z, context)
        others = z[..., None] - excess.unflatten(1, (-1, 3)).movedim(2, 4)
        place = (4 * uniform).long().clamp(0, 3)
        blocks = torch.cat([z[..., None], others], 4).gather(4, self._places[place])
        x = blocks.unflatten(4, (2, 2)).movedim(4, 3).flatten(4, 5).flatten(2, 3)
        return x, zero_log_term(z) + self._log_places - log_p
