"""The identity plus a hyperbolic tangent: the map of one unit of a planar or Sylvester flow."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pushforward.maps.map import NumericMap
from pushforward.maps.slopes import positive_slope

# cosh of more would overflow when squared; 1 / cosh^2 is nothing there.
_FAR = 40.0


class Bend(NumericMap):
    """``y = x + (s - 1) tanh(x)``: slope ``s`` at 0, and 1 far out; the inverse is numeric.

    params[0]: the raw ``s = softplus(raw + const) + 0.001``, 1 at raw = 0, which is the identity and the start. It is
    above 0, and so the map increases everywhere: what holds planar and Sylvester flows invertible.

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
        # 1 + (s - 1) (1 - tanh^2) as a sum of what is not negative; 1 / cosh^2 has digits where 1 - tanh^2 has none.
        left = x.clamp(-_FAR, _FAR).cosh().square().reciprocal()
        return x + (slope - 1) * bent, (bent.square() + slope * left).log()
