"""Partitions: which coordinates a coupling keeps, and which it changes given those."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pushforward.errors import OptionError, ShapeError
from pushforward.events import Shape
from pushforward.maps.map import Map
from pushforward.module_state import CheckedState, once_each


class Partition(nn.Module, ABC):
    """A split of an event into a kept and a changed part.

    Attributes: ``event_shape``; ``kept_shape``, of one event's kept part as the net's input; ``changed_shape``, of its
    changed part.

    >>> import torch
    >>> from pushforward.transforms import VectorPartition
    >>> partition, x = VectorPartition(3, changed=(2,)), torch.tensor([[1.0, 2.0, 3.0]])
    >>> partition.kept(x), partition.changed(x)
    (tensor([[1., 2.]]), tensor([[3.]]))
    """

    event_shape: Shape
    kept_shape: Shape
    changed_shape: Shape

    @abstractmethod
    def kept(self, x: Tensor) -> Tensor:
        """The net's input from ``x: (B, *event_shape)``: ``(B, *kept_shape)``."""

    @abstractmethod
    def changed(self, x: Tensor) -> Tensor:
        """The coordinates to change: ``(B, *changed_shape)``."""

    @abstractmethod
    def merge(self, x: Tensor, changed: Tensor) -> Tensor:
        """``x`` with its changed part replaced by ``changed: (B, *changed_shape)``."""

    @abstractmethod
    def params(self, raw: Tensor, n_params: int) -> Tensor:
        """A net's output as map parameters ``(n_params, B, *changed_shape)``."""

    def columns(self) -> tuple[Tensor, Tensor] | None:
        """The indices of the kept and of the changed coordinates of a vector; None for other events."""
        return None

    @abstractmethod
    def complement(self) -> Partition:
        """The partition that keeps the changed coordinates and changes the kept ones."""

    def net_sizes(self, map: Map) -> tuple[int, int]:
        """Numbers of inputs and of outputs (features, or channels of images) of a coupling's net for this map."""
        return self.kept_shape[0], map.n_params * self.changed_shape[0]


class VectorPartition(Partition, CheckedState):
    """A partition of vectors ``(D,)`` by index: ``changed`` lists the coordinates to change, in ascending order.

    The net takes the kept coordinates ``(B, K)`` and returns ``(B, n_params * (D - K))``.

    >>> import torch
    >>> from pushforward.transforms import VectorPartition
    >>> partition = VectorPartition(3, changed=(0, 2))
    >>> partition.kept(torch.tensor([[1.0, 2.0, 3.0]])), partition.complement().indices
    (tensor([[2.]]), (1,))
    """

    def __init__(self, features: int, changed: Sequence[int]) -> None:
        super().__init__()
        inside = sorted(set(changed))
        if inside != list(changed) or (inside and not 0 <= inside[0] <= inside[-1] < features):
            raise OptionError(f"changed coordinates must be distinct, ascending and within 0..{features - 1}")
        chosen = set(inside)
        self.event_shape = (features,)
        self.kept_shape, self.changed_shape = (features - len(inside),), (len(inside),)
        self._changed = nn.Buffer(torch.tensor(inside, dtype=torch.long))
        self._kept = nn.Buffer(torch.tensor([i for i in range(features) if i not in chosen], dtype=torch.long))

    @property
    def indices(self) -> tuple[int, ...]:
        """The coordinates that are changed, in ascending order."""
        return tuple(self._changed.tolist())

    def columns(self) -> tuple[Tensor, Tensor] | None:
        return self._kept, self._changed

    def state_problem(self) -> str | None:
        return once_each(self.event_shape[0], self._kept, self._changed)

    def kept(self, x: Tensor) -> Tensor:
        return x.index_select(1, self._kept)

    def changed(self, x: Tensor) -> Tensor:
        return x.index_select(1, self._changed)

    def merge(self, x: Tensor, changed: Tensor) -> Tensor:
        return x.index_copy(1, self._changed, changed)

    def params(self, raw: Tensor, n_params: int) -> Tensor:
        return raw.reshape(raw.shape[0], n_params, *self.changed_shape).movedim(1, 0)

    def complement(self) -> VectorPartition:
        return VectorPartition(self.event_shape[0], self._kept.tolist())


def half(features: int) -> VectorPartition:
    """The partition that keeps the first half of a vector and changes the second (the larger for an odd number)."""
    return VectorPartition(features, range(features // 2, features))


def odd_even(features: int) -> VectorPartition:
    """The partition that keeps the coordinates with odd index and changes those with even index."""
    return VectorPartition(features, range(0, features, 2))


def random_half(features: int, generator: torch.Generator | None = None) -> VectorPartition:
    """A partition that changes a random half of the coordinates (the larger for an odd number); None: torch's
    generator."""
    order = torch.randperm(features, generator=generator)
    return VectorPartition(features, sorted(order[features // 2 :].tolist()))


class Checkerboard(Partition):
    """A checkerboard of pixels ``(C, H, W)``: keeps those with ``(row + column) % 2 == parity`` and changes the others.

    The net takes the whole image with the changed pixels set to 0 and returns ``(B, n_params * C, H, W)``, of which the
    changed pixels' entries are used. The changed part is ``(C, N)`` for ``N`` pixels.
    Source: Real NVP, section 3.4.

    >>> import torch
    >>> from pushforward.transforms import Checkerboard
    >>> Checkerboard((1, 2, 2)).kept(torch.ones(1, 1, 2, 2))
    tensor([[[[1., 0.],
              [0., 1.]]]])
    """

    def __init__(self, event_shape: Shape, parity: int = 0) -> None:
        super().__init__()
        if len(event_shape) != 3:
            raise ShapeError(f"a checkerboard needs events (C, H, W), got {tuple(event_shape)}")
        channels, height, width = event_shape
        self.event_shape = self.kept_shape = tuple(event_shape)
        self.parity = parity % 2
        rows, columns = torch.arange(height)[:, None], torch.arange(width)[None]
        keep = (rows + columns) % 2 == self.parity
        self.mask = nn.Buffer(keep.to(torch.get_default_dtype())[None], persistent=False)
        self._changed = nn.Buffer((~keep).flatten().nonzero()[:, 0], persistent=False)
        self.changed_shape = (channels, len(self._changed))

    def kept(self, x: Tensor) -> Tensor:
        return x * self.mask

    def changed(self, x: Tensor) -> Tensor:
        return x.flatten(2).index_select(2, self._changed)

    def merge(self, x: Tensor, changed: Tensor) -> Tensor:
        return x.flatten(2).index_copy(2, self._changed, changed).reshape(x.shape)

    def params(self, raw: Tensor, n_params: int) -> Tensor:
        params: Tensor = self.changed(raw).unflatten(1, (n_params, self.event_shape[0])).movedim(1, 0)
        return params

    def complement(self) -> Checkerboard:
        return Checkerboard(self.event_shape, 1 - self.parity)


class Channelwise(Partition):
    """A partition by channels of ``(C, H, W)``: keeps the first ones with ``keep_first``, else the last ones.

    first: number of channels of the first part; None: half of them. The net takes the kept channels and returns
    ``n_params`` times the changed ones. Source: Real NVP, section 3.4.

    >>> import torch
    >>> from pushforward.transforms import Channelwise
    >>> Channelwise((4, 2, 2)).kept(torch.zeros(3, 4, 2, 2)).shape
    torch.Size([3, 2, 2, 2])
    """

    def __init__(self, event_shape: Shape, keep_first: bool = True, first: int | None = None) -> None:
        super().__init__()
        if len(event_shape) != 3 or event_shape[0] < 2:
            raise ShapeError(f"a channel-wise partition needs events (C >= 2, H, W), got {tuple(event_shape)}")
        channels, height, width = event_shape
        first = channels // 2 if first is None else first
        if not 0 < first < channels:
            raise OptionError(f"the first part must have some of the {channels} channels and not all, got {first}")
        self.event_shape, self.keep_first = tuple(event_shape), keep_first
        sizes = (first, channels - first) if keep_first else (channels - first, first)
        self._sizes = (first, channels - first)
        self.kept_shape, self.changed_shape = (sizes[0], height, width), (sizes[1], height, width)

    def _parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first, second = x.split(self._sizes, 1)
        return (first, second) if self.keep_first else (second, first)

    def kept(self, x: Tensor) -> Tensor:
        return self._parts(x)[0]

    def changed(self, x: Tensor) -> Tensor:
        return self._parts(x)[1]

    def merge(self, x: Tensor, changed: Tensor) -> Tensor:
        kept = self.kept(x)
        return torch.cat([kept, changed] if self.keep_first else [changed, kept], 1)

    def params(self, raw: Tensor, n_params: int) -> Tensor:
        params: Tensor = raw.unflatten(1, (n_params, self.changed_shape[0])).movedim(1, 0)
        return params

    def complement(self) -> Channelwise:
        return Channelwise(self.event_shape, not self.keep_first, self._sizes[0])
