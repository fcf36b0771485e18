"""Autoregressive transforms: each coordinate changes by a map whose parameters depend on the coordinates before it.

Sources: Papamakarios, Pavlakou & Murray, "Masked Autoregressive Flow for Density Estimation", 2017; Kingma et al.,
"Improved Variational Inference with Inverse Autoregressive Flow", 2016 (its inverse).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pushforward.errors import OptionError
from pushforward.events import log_dtype
from pushforward.maps.map import Map
from pushforward.nets.masked import MADE
from pushforward.nets.unrolled import Unrolled
from pushforward.noise import NoiseValue
from pushforward.precision import full_precision
from pushforward.transforms.base import Transform


class Autoregressive(Transform):
    """``z_i = map(x_i; net(x)_i)`` on vectors (D,), where ``net(x)_i`` depends on the parents of ``x_i`` only.

    net: a `MADE`, or any module with ``features`` and ``passes`` that takes ``(x, context)`` to ``(B, n_params * D)``
    (all first parameters, then all second ones) and keeps such an order. `to_latent` is one pass. `to_data` of a MADE
    costs about one pass too: every hidden unit is computed once, when its inputs are known. Another net is run at most
    ``passes`` times, from all coordinates at zero: each pass settles one more stage, and without gradients it ends as
    soon as a pass changes nothing. Raises OptionError for a map that holds something of its own for each coordinate.
    """

    def __init__(self, map: Map, net: nn.Module) -> None:
        super().__init__()
        map.refuse_shape("an Autoregressive")
        self.map, self.net = map, net
        features, outputs = getattr(net, "features", None), getattr(net, "n_params", map.n_params)
        if not isinstance(features, int) or not isinstance(getattr(net, "passes", None), int):
            raise OptionError(
                f"an autoregressive net has attributes features and passes, {type(net).__name__} has not; use a MADE"
            )
        if outputs != map.n_params:
            raise OptionError(
                f"{type(map).__name__} takes {map.n_params} parameters a coordinate, but the net gives {outputs}"
            )
        self.data_shape = self.latent_shape = (features,)
        self.domain, self.codomain = map.domain, map.codomain

    def _params(self, x: Tensor, context: Tensor | None) -> Tensor:
        """``(P, D, B)``: the batch last, as the net's last layer wrote it."""
        raw = self.net(x, context).t().to(x.dtype)
        return self.map.with_start(raw.reshape(self.map.n_params, *x.t().shape))

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        z, log_slope = self.map(x.t().contiguous(), self._params(x, context))
        return z.t(), log_slope.sum(0, dtype=log_dtype(x))

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        if isinstance(self.net, MADE):
            return self._unrolled(self.net, z, context)
        return self._by_passes(z, context)

    def _unrolled(self, net: MADE, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        columns, found, slopes = z.t(), [], []
        with full_precision(z):
            unrolled = Unrolled(net, z, context)
        for stage, chosen in enumerate(unrolled.groups):
            with full_precision(z):
                params = self.map.with_start(unrolled.params(stage).to(z.dtype))
            x, log_slope = self.map.inverse(columns[chosen].contiguous(), params)
            unrolled.append(x)
            found.append(x)
            slopes.append(log_slope.sum(0, dtype=log_dtype(z)))
        return unrolled.in_order(found), torch.stack(slopes).sum(0)

    def _by_passes(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        passes = int(self.net.passes)  # type: ignore[arg-type]
        columns = z.t().contiguous()
        x, log_slope = columns, torch.zeros_like(columns)
        for i in range(passes):
            # What is not settled may be anything; a masked weight of 0 hides any number, but neither infinity nor NaN.
            seen = torch.zeros_like(z) if i == 0 else x.nan_to_num().t()
            before, (x, log_slope) = x, self.map.inverse(columns, self._params(seen, context))
            settled = not (torch.is_grad_enabled() or torch.compiler.is_compiling())
            if settled and i > 0 and torch.equal(before, x):
                break
        return x.t(), log_slope.sum(0, dtype=log_dtype(z))
