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
