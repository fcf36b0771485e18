"""Autoregressive transforms: each coordinate changes by a map whose parameters depend on the coordinates before it.

Sources: Papamakarios, Pavlakou & Murray, "Masked Autoregressive Flow for Density Estimation", 2017; Kingma et al.,
"Improved Variational Inference with Inverse Autoregressive Flow", 2016 (its inverse).
"""

from __future__ import annotations

import torch
from torch import Tensor

from pushforward.errors import OptionError
from pushforward.events import sum_event
from pushforward.kernels import Layer
from pushforward.maps.map import Map, batch_last
from pushforward.module_state import is_altered
from pushforward.nets.dense import DenseNet
from pushforward.nets.staged import StagedNet, invert_stages
from pushforward.noise import NoiseValue
from pushforward.transforms.base import Transform


class Autoregressive(Transform):
    """An autoregressive transform ``z_i = map(x_i; net(x)_i)``: ``net(x)_i`` depends on earlier stages of ``x`` only.

    Events have any shape. net: a `StagedNet`, such as a `MADE` of vectors or a `RowConvNet` of images. The Jacobian is
    triangular in the order of the stages and diagonal within one, so that the log term is the sum of the map's
    log-slopes. `to_latent` is one pass of the net; `to_data` inverts the map stage by stage. Raises OptionError for a
    map that differs between coordinates, and for a net that does not fit.

    >>> import torch
    >>> from pushforward.maps import Affine, SoftClampScale
    >>> from pushforward.nets import MADE
    >>> from pushforward.transforms import Autoregressive
    >>> map, order = Affine(SoftClampScale()), torch.ones(3, 3, dtype=torch.bool).tril(-1)
    >>> step = Autoregressive(map, MADE(order, map.n_params, hidden=(16,)))
    >>> step.to_latent(torch.randn(5, 3))[1].shape
    torch.Size([5])
    """

    def __init__(self, map: Map, net: StagedNet) -> None:
        super().__init__()
        map.refuse_shape("an Autoregressive")
        if not isinstance(net, StagedNet):
            raise OptionError(f"an autoregressive net is a StagedNet, {type(net).__name__} is not; use a MADE")
        if net.n_params != map.n_params:
            raise OptionError(
                f"{type(map).__name__} takes {map.n_params} parameters a coordinate, but the net gives {net.n_params}"
            )
        self.map, self.net = map, net
        self.data_shape = self.latent_shape = net.event_shape
        self.domain, self.codomain = map.domain, map.codomain

    def map_params(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.map.with_start(self.net(x, context).to(x.dtype))

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        if (layer := self._layer(x, context)) is not None:
            return layer.values(x, x, inverse=False)
        z, log_slope = batch_last(self.map, x, self.map_params(x, context))
        return z, sum_event(log_slope)

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        layer = self._layer(z, context)
        if layer is not None and not layer.needs_gradients(z, z) and (order := self.net.stage_order()) is not None:
            return layer.inverse_in_stages(z, order)

        def inverse(part: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
            return batch_last(self.map.inverse, part, self.map.with_start(params.to(part.dtype)))

        return invert_stages(self.net.order, z, self.net.stages(z, context), inverse)

    def _layer(self, x: Tensor, context: Tensor | None) -> Layer | None:
        """The layer as a kernel computes it for these vectors; None where it cannot."""
        if (
            torch.compiler.is_compiling()
            or not x.is_cpu
            or context is not None
            or not isinstance(self.net, DenseNet)
            or is_altered(self.map)
        ):
            return None
        net, form = self.net.dense_form(), self.map.kernel_form()
        if net is None or form is None:
            return None
        features = self.data_shape[0]
        layer = Layer(net, form, features, torch.arange(features, device="cpu"))
        return layer if layer.takes(x, x) else None
