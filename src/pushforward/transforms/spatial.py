"""Spatial transforms of images: squeezing pixels into channels, and the multi-scale arrangement."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pushforward.errors import OptionError, ShapeError
from pushforward.events import Shape, zero_log_term
from pushforward.noise import NoiseValue, part_noise
from pushforward.transforms.base import RunPart, Transform, join_parts, to_latent


class Squeeze(Transform):
    """Squeezing of pixels into channels: each 2 x 2 block of ``(C, H, W)`` becomes 4 channels, ``(4C, H/2, W/2)``.

    In the plain order the four positions of one channel are neighbours. In the ``ordered`` variant the first half of
    the channels holds, for all channels, the two positions on one diagonal and the second half the other two, so that
    keeping half the channels keeps one colour of the checkerboard, as Real NVP's multi-scale arrangement needs (section
    3.6 and the authors' code).

    >>> import torch
    >>> from pushforward.transforms import Squeeze
    >>> Squeeze((1, 4, 4)).to_latent(torch.zeros(2, 1, 4, 4))[0].shape
    torch.Size([2, 4, 2, 2])
    """

    def __init__(self, event_shape: Shape, ordered: bool = False) -> None:
        super().__init__()
        channels, height, width = halved(event_shape, "Squeeze")
        self.ordered = ordered
        self.data_shape, self.latent_shape = tuple(event_shape), (4 * channels, height, width)
        self._order, self._back = _orders(channels)

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        # Axes: batch, channel, row pair, row in pair, column pair, column in pair.
        z = x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).permute(0, 1, 3, 5, 2, 4).flatten(1, 3)
        return (z[:, self._order] if self.ordered else z.contiguous()), zero_log_term(x)

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        if self.ordered:
            z = z[:, self._back]
        z = z.unflatten(1, (self.data_shape[0], 2, 2)).permute(0, 1, 4, 2, 5, 3)
        return z.flatten(4, 5).flatten(2, 3), zero_log_term(z)


def halved(event_shape: Shape, owner: str) -> tuple[int, int, int]:
    """The sizes of images ``(C, H, W)`` with the sides halved; raises ShapeError, naming ``owner``, for odd ones."""
    if len(event_shape) != 3:
        raise ShapeError(f"{owner} needs events (C, H, W), got {tuple(event_shape)}")
    channels, height, width = event_shape
    if height % 2 or width % 2:
        raise ShapeError(f"{owner} needs an even height and width, got {height} x {width}; pad or crop before")
    return channels, height // 2, width // 2


def _orders(channels: int) -> tuple[list[int], list[int]]:
    """Channel order of the ordered squeeze relative to the plain one, and back: diagonals first, for all channels."""
    order = [4 * c + position for pair in ((0, 3), (1, 2)) for position in pair for c in range(channels)]
    back = sorted(range(len(order)), key=order.__getitem__)
    return order, back


class MultiScale(Transform):
    """The multi-scale arrangement: each scale but the last factors out some of the channels.

    scales: transforms of images. The next scale takes the first channels of a scale's output, and the others are
    factored out. The latent is one flat vector of the factored-out parts, in their order. Sources: Real NVP, section
    3.6, which factors out half of the channels; Ma, Kong, Zhang & Hovy, "MaCow", 2019, section 3.3, which factors out
    fewer, more often.

    >>> import torch
    >>> from pushforward.transforms import Identity, MultiScale, Squeeze
    >>> scales = MultiScale([Squeeze((1, 4, 4)), Identity((2, 2, 2))])
    >>> scales.to_latent(torch.zeros(3, 1, 4, 4))[0].shape, scales.part_sizes
    (torch.Size([3, 16]), (8, 8))
    """

    def __init__(self, scales: Sequence[Transform]) -> None:
        super().__init__()
        if not scales:
            raise OptionError("MultiScale needs at least one scale")
        self.scales = nn.ModuleList(scales)
        self._parts: list[Shape] = []
        for i, (scale, after) in enumerate(itertools.pairwise(scales)):
            channels, height, width = scale.latent_shape
            passed = after.data_shape[0]
            if after.data_shape[1:] != (height, width) or not 0 < passed < channels:
                raise ShapeError(
                    f"scale {i} gives {scale.latent_shape}, but scale {i + 1} takes {after.data_shape}: some of these "
                    f"channels expected, not all, and every pixel"
                )
            if scale.codomain != after.domain:
                raise OptionError(f"scale {i} reaches {scale.codomain}, but scale {i + 1} takes {after.domain}")
            self._parts.append((channels - passed, height, width))
        self._parts.append(scales[-1].latent_shape)
        self._sizes = [math.prod(part) for part in self._parts]
        self._passed = [scale.data_shape[0] for scale in scales[1:]]
        self.data_shape, self.latent_shape = scales[0].data_shape, (sum(self._sizes),)
        self.domain, self.codomain = scales[0].domain, scales[-1].codomain
        join_parts(self, scales)

    @property
    def part_sizes(self) -> tuple[int, ...]:
        """The number of latent coordinates that each scale factors out, the finest first."""
        return tuple(self._sizes)

    def parts(self) -> Sequence[Transform]:
        return tuple(self.scales)  # type: ignore[arg-type]

    def part_name(self, index: int) -> str:
        return f"scale {index}"

    def part_data(self, index: int, values: Tensor) -> Tensor:
        return values[:, : self._passed[index - 1]] if index else values

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        return self.to_latent_through(to_latent, x, context, noise)

    def to_latent_through(
        self, run: RunPart, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None
    ) -> tuple[Tensor, Tensor]:
        log_term, done = zero_log_term(x), []
        for i, (scale, part) in enumerate(self._with_noise(noise)):
            x, term = run(scale, x, context, part)
            log_term = log_term + term
            if i < len(self._passed):
                done.append(x[:, self._passed[i] :].flatten(1))
                x = x[:, : self._passed[i]]
        done.append(x.flatten(1))
        return torch.cat(done, 1), log_term

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        log_term = zero_log_term(z)
        parts = self._split(z)
        x = parts.pop()
        for scale, part in reversed(self._with_noise(noise)):
            x, term = scale.to_data(x, context, part)
            log_term = log_term + term
            if parts:
                x = torch.cat([x, parts.pop()], 1)
        return x, log_term

    def initialise(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> None:
        for i, (scale, part) in enumerate(self._with_noise(noise)):
            scale.initialise(x, context, part)
            if i < len(self._passed):
                x = scale.to_latent(x, context, part)[0][:, : self._passed[i]]

    def path_noise(self, x: Tensor, z: Tensor, context: Tensor | None = None, back: NoiseValue = None) -> NoiseValue:
        if self.noise_to_latent is None:
            return None
        parts, noises = self._split(z), list[NoiseValue]()
        after = parts.pop()
        for i, (scale, part) in reversed(list(enumerate(self._with_noise(back)))):
            before = scale.to_data(after, context, part)[0] if i else x
            noises.insert(0, scale.path_noise(before, after, context, part))
            after = torch.cat([before, parts.pop()], 1) if parts else before
        return tuple(noises)

    def _split(self, z: Tensor) -> list[Tensor]:
        """The parts of the latent as images, the finest first."""
        return [p.unflatten(1, shape) for p, shape in zip(z.split(self._sizes, 1), self._parts, strict=True)]

    def _with_noise(self, noise: NoiseValue) -> list[tuple[Transform, NoiseValue]]:
        scales: list[Transform] = list(self.scales)  # type: ignore[arg-type]
        return list(zip(scales, part_noise(noise, len(scales)), strict=True))
