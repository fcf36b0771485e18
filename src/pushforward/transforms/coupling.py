"""The two ways of applying a map to coordinates: `Coupling`, given other coordinates, and `Elementwise`, on its own."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pushforward.domain import Domain
from pushforward.errors import OptionError, ShapeError
from pushforward.events import Shape, sum_event, zero_log_term
from pushforward.maps.map import Map
from pushforward.nets.data_init import DataInitialisedNet
from pushforward.noise import NoiseValue
from pushforward.transforms.base import Transform
from pushforward.transforms.partition import Partition, VectorPartition


class Coupling(Transform):
    """Changes one part of the event by a map whose parameters a net computes from the other part and the context.

    net: called as ``net(kept, context)`` with what ``partition.kept`` gives; `initialise` hands the same to an
    `DataInitialisedNet` first. after: a bijection of the changed part that follows the map, such as Real NVP's batch
    normalisation. The kept part passes through as it is, so that the Jacobian is triangular and the log term is the sum
    of the map's log-slopes (Real NVP, eq. 6). domain: of the whole event, for a map onto its own domain, where kept
    coordinates lie elsewhere; None: all lie in the map's. Raises OptionError for a map that holds something of its own
    for each coordinate.
    """

    def __init__(
        self,
        partition: Partition,
        map: Map,
        net: nn.Module,
        after: Transform | None = None,
        domain: Domain | None = None,
    ) -> None:
        super().__init__()
        if after is not None and not after.data_shape == after.latent_shape == partition.changed_shape:
            raise ShapeError(
                f"after must map the changed part {partition.changed_shape} to itself, "
                f"it maps {after.data_shape} to {after.latent_shape}"
            )
        refuse_own_shape(map, "a Coupling")
        self.partition, self.map, self.net, self.after = partition, map, net, after
        self.data_shape = self.latent_shape = partition.event_shape
        self.domain, self.codomain = map.domain, map.codomain
        if domain is not None:
            self.domain = self.codomain = _checked_domain(domain, partition, map)

    def _params(self, x: Tensor, context: Tensor | None) -> Tensor:
        raw = self.net(self.partition.kept(x), context)
        # Under autocast the net answers in half precision, in which exp(s) exp(-s) is not 1: widen before the map.
        return with_start(self.map, self.partition.params(raw, self.map.n_params).to(x.dtype))

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        y, log_slope = batch_last(self.map, self.partition.changed(x), self._params(x, context))
        log_term = sum_event(log_slope)
        if self.after is not None:
            y, term = self.after.to_latent(y, context)
            log_term = log_term + term
        return self.partition.merge(x, y), log_term

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        y, log_term = self.partition.changed(z), zero_log_term(z)
        if self.after is not None:
            y, log_term = self.after.to_data(y, context)
        x, log_slope = batch_last(self.map.inverse, y, self._params(z, context))
        return self.partition.merge(z, x), sum_event(log_slope) + log_term

    def initialise(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> None:
        if isinstance(self.net, DataInitialisedNet):
            self.net.initialise(self.partition.kept(x), context)
        if self.after is not None:
            y, _ = self.map(self.partition.changed(x), self._params(x, context))
            self.after.initialise(y, context)


class Elementwise(Transform):
    """A map on every coordinate, with parameters of its own, or computed from the context by ``net``.

    net: called as ``net(context)``, gives ``(B, n_params * D)`` for events of ``D`` coordinates; it is added to the
    transform's own parameters. `initialise` sets these once, where the map takes its start from data. shared: the
    event's shape with 1 for each axis along which the parameters are the same, such as ``(C, 1, 1)`` for one map a
    channel, which also is what ``D`` counts then; None: no axis.
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
        # None, and not a parameter of no elements, which no loss would depend on.
        shape = self.data_shape if shared is None else tuple(shared)
        self.weight = nn.Parameter(torch.zeros(map.n_params, *shape)) if map.n_params else None
        self.initialised = nn.Buffer(torch.zeros((), dtype=torch.bool)) if map.starts_from_data else None

    def _params(self, x: Tensor, context: Tensor | None) -> Tensor:
        if self.weight is None:
            return x.new_zeros(0, *x.shape)
        params = with_start(self.map, self.weight[:, None])
        if self.net is not None:
            raw = self.net(context).to(x.dtype)
            params = params + raw.reshape(x.shape[0], *self.weight.shape).movedim(1, 0)
        return params if self.map.broadcasts else params.expand(self.map.n_params, *x.shape)

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        y, log_slope = self.map(x, self._params(x, context))
        return y, sum_event(log_slope)

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        x, log_slope = self.map.inverse(z, self._params(z, context))
        return x, sum_event(log_slope)

    @torch.no_grad()
    def initialise(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> None:
        if self.initialised is None or self.weight is None or bool(self.initialised):
            return
        params = self.map.start_from(x)
        self.weight.copy_(params - with_start(self.map, torch.zeros_like(params)))
        self.initialised.fill_(True)


def batch_last(
    direction: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], x: Tensor, params: Tensor
) -> tuple[Tensor, Tensor]:
    """A map's direction at ``x: (B, *event)`` with ``params: (P, B, *event)``, for vectors with the batch axis last.

    Nets on vectors write their output with the batch innermost, and a map then reads each parameter in one stretch.
    """
    if x.ndim != 2:
        return direction(x, params)
    y, log_slope = direction(x.t().contiguous(), params.transpose(1, 2).contiguous())
    return y.t(), log_slope.t()


def _checked_domain(domain: Domain, partition: Partition, map: Map) -> Domain:
    """``domain`` if the changed coordinates lie where the map takes and gives values."""
    changed = partition.indices if isinstance(partition, VectorPartition) else ()
    places = {domain.coordinate(i) for i in changed} if changed else {domain}
    if not places == {map.domain} == {map.codomain}:
        found = " and ".join(str(place) for place in places)
        raise OptionError(f"the changed coordinates lie in {found}, but the coupling's map is of {map.domain}")
    return domain


def refuse_own_shape(map: Map, transform: str) -> None:
    """Raise OptionError for a map that is not the same for all coordinates; the batch may be its last axis here."""
    if map.shape is not None:
        raise OptionError(
            f"{transform} needs a map that is the same for all coordinates; this {type(map).__name__} is made for "
            f"events of shape {map.shape}; put it in an Elementwise before or after"
        )


def _broadcasts(shape: Shape, event_shape: Shape) -> bool:
    """Whether tensors of ``shape`` broadcast to those of ``event_shape`` without an axis before them."""
    last = event_shape[len(event_shape) - len(shape) :]
    return len(shape) <= len(event_shape) and all(s in (1, n) for s, n in zip(shape, last, strict=True))


def with_start(map: Map, params: Tensor) -> Tensor:
    """``params: (P, ...)`` offset by the map's starting point."""
    return params + map.start.to(params).reshape(-1, *(1,) * (params.ndim - 1))
