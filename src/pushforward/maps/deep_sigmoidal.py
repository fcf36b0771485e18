"""The deep sigmoidal map of neural autoregressive flows."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pushforward.kernels.mixture import MixtureOptions, mixture
from pushforward.maps.logistic_mixture import evenly, inverse_of_mixture, logit_of_mixture
from pushforward.maps.map import Map
from pushforward.maps.slopes import LEAST_SLOPE, positive_slope
from pushforward.option_checks import at_least_one


class DeepSigmoidal(Map):
    """``y = logit(sum_j w_j sigmoid(a_j x + b_j))``: one hidden layer of ``components`` sigmoid units.

    params: ``components`` rows each of logits of w, of raw a and of b; ``a = softplus(raw + const) + 0.001`` is 1 at
    raw = 0. The map is computed in log space, without the clip of the published code, which bounds it at +-14. So it is
    onto, with slopes that tend to the smallest a in both tails. At the start the b are evenly spaced in [-1, 1] and the
    other parameters are those of the identity: with 8 components the map then differs from the identity by at most
    0.21. The inverse is numeric.

    Source: Huang, Krueger, Lacoste & Courville, "Neural autoregressive flows", 2018, section 3. Raises OptionError.

    >>> import torch
    >>> from pushforward.maps import DeepSigmoidal
    >>> map = DeepSigmoidal(components=4)
    >>> map.forward(torch.zeros(5), torch.randn(map.n_params, 5))[0].shape
    torch.Size([5])
    """

    def __init__(self, components: int = 8) -> None:
        super().__init__()
        self.components = at_least_one(components, "components")
        self.n_params = 3 * components
        start = torch.zeros(self.n_params)
        start[2 * components :] = evenly(components)
        self.start = nn.Buffer(start, persistent=False)
        self._kernel = MixtureOptions(components, units=LEAST_SLOPE)

    def forward(self, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        return mixture(x, params, self._kernel, self._formula)

    def inverse(self, y: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        return inverse_of_mixture(y, params, self._kernel, self._formula)

    def _formula(self, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        logits, raw_rates, offsets = params.chunk(3)
        rates = positive_slope(raw_rates)
        return logit_of_mixture(rates * x + offsets, logits, rates.log())
