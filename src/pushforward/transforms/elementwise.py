"""Element-wise transforms: a map of every coordinate, with learned parameters or parameters from the context."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pushforward.errors import OptionError, ShapeError
from pushforward.events import Shape, sum_event
from pushforward.maps.map import Map, MapFunction, batch_last
from pushforward.module_state import InitialisedByData
from pushforward.noise import NoiseValue
from pushforward.transforms.base import Transform


class Elementwise(Transform, InitialisedByData):
    """An element-wise transform: a map of every coordinate, with learned parameters or ones that ``net`` computes.

    net: called as ``net(context)``, returns ``(B, n_params * D)`` for events of ``D`` coordinates, which is added to
    the learned parameters. `initialise` sets these once, where the map takes its start from data. shared: the event's
    shape with 1 for each axis along which the parameters are the same, such as ``(C, 1, 1)`` for one map per channel,
    in which case ``D`` is ``C``; None: no axis.

    >>> import torch
    >>> from pushforward.maps import Affine, SoftClampScale
    >>> from pushforward.transforms import Elementwise
    >>> step, x = Elementwise(Affine(SoftClampScale()), (3,)), torch.randn(2, 3)
    >>> z, log_term = step.to_latent(x)  # every map starts at the identity
    >>> torch.equal(z, x)
    True
    """

    def __init__(self, map: Map, event_shape: Shape, net: nn.Module | None = None, shared: Shape | None = None) -> None:
        super().__init__()
        if shared is not None and not (len(shared) == len(event_shape) and _broadcasts(shared, tuple(event_shape))):
            raise ShapeError(f"shared must be {tuple(event_shape)} with 1 in place of some sizes, got {tuple(shared)}")
        if shared is not None and map.starts_from_data:
            raise OptionError(f"{type(map).__name__} starts from the data of each coordinate; leave shared out")
        if net is not None and not map.n_params:
            raise OptionError(f"{type(map).__name__} has no parameters for a net to compute; leave net out")
        if map.shape is not None and not _broadcasts(map.shape, tuple(event_shape)):
            raise ShapeError(f"{type(map).__name__} is made for events that end in {map.shape}, got {event_shape}")
        self.map, self.net = map, net
        self.data_shape = self.latent_shape = tuple(event_shape)
        self.domain, self.codomain = map.domain, map.codomain
        # None instead of a parameter without elements, on which no loss would depend.
        shape = self.data_shape if shared is None else tuple(shared)
        self.weight = nn.Parameter(torch.zeros(map.n_params, *shape)) if map.n_params else None
        self.initialised = nn.Buffer(torch.zeros((), dtype=torch.bool)) if map.starts_from_data else None

    def map_params(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        if self.weight is None:
            return x.new_zeros(0, *x.shape)
        params = self.map.with_start(self.weight[:, None])
        if self.net is not None:
            raw = self.net(context).to(x.dtype)
            params = params + raw.reshape(x.shape[0], *self.weight.shape).movedim(1, 0)
        return params if self.map.broadcasts else params.expand(self.map.n_params, *x.shape)

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        y, log_slope = self._run(self.map, x, self.map_params(x, context))
        return y, sum_event(log_slope)

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        x, log_slope = self._run(self.map.inverse, z, self.map_params(z, context))
        return x, sum_event(log_slope)

    def _run(self, function: MapFunction, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        # Parameters without a net are the same for all rows, and a map with a shape needs the event's axes last.
        if self.net is None or self.map.shape is not None:
            return function(x, params)
        return batch_last(function, x, params)

    @torch.no_grad()
    def initialise(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> None:
        if self.initialised is None or self.weight is None or bool(self.initialised):
            return
        params = self.map.start_from(x)
        self.weight.copy_(params - self.map.with_start(torch.zeros_like(params)))
        self.initialised.fill_(True)


def _broadcasts(shape: Shape, event_shape: Shape) -> bool:
    """Whether tensors of ``shape`` broadcast to those of ``event_shape`` without an axis before them."""
    last = event_shape[len(event_shape) - len(shape) :]
    return len(shape) <= len(event_shape) and all(s in (1, n) for s, n in zip(shape, last, strict=True))
