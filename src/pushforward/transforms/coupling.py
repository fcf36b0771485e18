"""Coupling layers: one part of an event changes by a map whose parameters a net computes from the other part."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pushforward.domain import Domain
from pushforward.errors import OptionError, ShapeError
from pushforward.events import sum_event, zero_log_term
from pushforward.kernels import Layer
from pushforward.maps.map import Map, batch_last
from pushforward.module_state import is_altered
from pushforward.nets.data_init import DataInitialisedNet
from pushforward.nets.dense import DenseNet
from pushforward.noise import NoiseValue
from pushforward.transforms.base import Transform
from pushforward.transforms.partition import Partition, VectorPartition


class Coupling(Transform):
    """A coupling: a map changes one part of the event, with parameters that a net computes from the other part.

    net: called as ``net(kept, context)`` with the result of ``partition.kept``; `initialise` passes the same to a
    `DataInitialisedNet` first. after: a bijection of the changed part that follows the map, such as Real NVP's batch
    normalisation. The kept part does not change, so that the Jacobian is triangular and the log term is the sum of the
    map's log-slopes (Real NVP, eq. 6). domain: that of the whole event, for a map onto its own domain whose kept
    coordinates lie elsewhere; None: all lie in the map's. Raises OptionError for a map that differs between
    coordinates.

    >>> import torch
    >>> from pushforward.maps import RationalQuadraticSpline
    >>> from pushforward.nets import MLP
    >>> from pushforward.transforms import Coupling, VectorPartition
    >>> partition, map = VectorPartition(4, changed=(2, 3)), RationalQuadraticSpline(bins=4)
    >>> step = Coupling(partition, map, MLP(*partition.net_sizes(map), hidden=(16,)))
    >>> z, log_term = step.to_latent(torch.randn(5, 4))
    >>> z.shape, log_term.shape
    (torch.Size([5, 4]), torch.Size([5]))
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
        map.refuse_shape("a Coupling")
        self.partition, self.map, self.net, self.after = partition, map, net, after
        self.data_shape = self.latent_shape = partition.event_shape
        self.domain, self.codomain = map.domain, map.codomain
        if domain is not None:
            self.domain = self.codomain = _checked_domain(domain, partition, map)

    def map_params(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        raw = self.net(self.partition.kept(x), context)
        # Under autocast the net returns half precision, in which exp(s) exp(-s) is not 1: widen before the map.
        return self.map.with_start(self.partition.params(raw, self.map.n_params).to(x.dtype))

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        if (found := self._layer(x, context)) is not None:
            layer, inputs = found
            return layer.values(x, inputs, inverse=False)
        y, log_slope = batch_last(self.map, self.partition.changed(x), self.map_params(x, context))
        log_term = sum_event(log_slope)
        if self.after is not None:
            y, term = self.after.to_latent(y, context)
            log_term = log_term + term
        return self.partition.merge(x, y), log_term

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        if (found := self._layer(z, context)) is not None:
            layer, inputs = found
            return layer.values(z, inputs, inverse=True)
        y, log_term = self.partition.changed(z), zero_log_term(z)
        if self.after is not None:
            y, log_term = self.after.to_data(y, context)
        x, log_slope = batch_last(self.map.inverse, y, self.map_params(z, context))
        return self.partition.merge(z, x), sum_event(log_slope) + log_term

    def _layer(self, x: Tensor, context: Tensor | None) -> tuple[Layer, Tensor] | None:
        """The layer as a kernel computes it for these vectors, and the net's inputs; None where it cannot."""
        columns = self.partition.columns()
        if torch.compiler.is_compiling() or not x.is_cpu or x.ndim != 2:
            return None
        if columns is None or self.after is not None:
            return None
        if not isinstance(self.net, DenseNet) or is_altered(self.map, self.partition):
            return None
        net, form = self.net.dense_form(), self.map.kernel_form()
        if net is None or form is None:
            return None
        (kept, changed), inputs = columns, x
        if context is not None:
            inputs = torch.cat([x, context.flatten(1)], 1)
            kept = torch.cat([kept, torch.arange(x.shape[1], inputs.shape[1], device=kept.device)])
        layer = Layer(net, form, self.data_shape[0], changed, kept)
        return (layer, inputs) if layer.takes(x, inputs) else None

    def initialise(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> None:
        if isinstance(self.net, DataInitialisedNet):
            self.net.initialise(self.partition.kept(x), context)
        if self.after is not None:
            y, _ = self.map(self.partition.changed(x), self.map_params(x, context))
            self.after.initialise(y, context)


def _checked_domain(domain: Domain, partition: Partition, map: Map) -> Domain:
    """``domain`` if the changed coordinates lie in the map's domain and codomain."""
    changed = partition.indices if isinstance(partition, VectorPartition) else ()
    places = {domain.coordinate(i) for i in changed} if changed else {domain}
    if not places == {map.domain} == {map.codomain}:
        names = " and ".join(str(place) for place in places)
        raise OptionError(f"the changed coordinates lie in {names}, but the coupling's map is of {map.domain}")
    return domain
