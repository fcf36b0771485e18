"""The identity plus a hyperbolic tangent: the map of one unit of a planar or Sylvester flow."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pushforward.maps.map import NumericMap
from pushforward.maps.slopes import positive_slope

# The square of cosh overflows beyond this; 1 / cosh^2 is 0 there.
_FAR = 40.0


class Bend(NumericMap):
    """``y = x + (s - 1) tanh(x)``: with slope ``s`` at 0 and 1 far from it.

    params[0]: the raw ``s = softplus(raw + const) + 0.001``, 1 at raw = 0, which is the identity and the start. As
    ``s`` is above 0, the map increases everywhere, which makes planar and Sylvester flows invertible. The inverse is
    numeric.

    Source: Rezende & Mohamed, "Variational inference with normalizing flows", 2015, appendix A.1.

    >>> import torch
    >>> from pushforward.maps import Bend
    >>> map, x = Bend(), torch.tensor([-1.0, 1.0])
    >>> y, log_slope = map.forward(x, map.with_start(torch.zeros(map.n_params, 2)))
    >>> torch.allclose(map.inverse(y, map.with_start(torch.zeros(map.n_params, 2)))[0], x, atol=1e-5)
    True
    """

    n_params = 1

    def __init__(self) -> None:
        super().__init__()
        self.start = nn.Buffer(torch.zeros(1), persistent=False)

    def forward(self, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        slope, bent = positive_slope(params[0]), x.tanh()
        # 1 + (s - 1) (1 - tanh^2) as a sum of non-negative terms; 1 / cosh^2 is accurate where 1 - tanh^2 cancels.
        left = x.clamp(-_FAR, _FAR).cosh().square().reciprocal()
        return x + (slope - 1) * bent, (bent.square() + slope * left).log()
