"""A mixture-of-logistics distribution function followed by the probit: a learned Gaussianization of a coordinate."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pushforward.channel_moments import channel_moments
from pushforward.events import leading_axis
from pushforward.kernels.mixture import MixtureOptions, mixture
from pushforward.maps.affine import SoftClampScale
from pushforward.maps.logistic_mixture import inverse_of_mixture, logit_of_mixture
from pushforward.maps.map import Map
from pushforward.maps.probit import logit_of_normal, probit_of_logit
from pushforward.option_checks import at_least_one
from pushforward.precision import in_float64

# Scales at the start: as a fraction of the gap between neighbouring quantiles, and the smallest as a fraction of the
# largest.
_OF_GAP = 0.6
_NARROWEST = 0.05


class ProbitMixture(Map):
    """``y = Phi^-1(sum_k pi_k sigmoid((x - mu_k) e^-s_k))``, which is standard normal where x follows the mixture.

    params: ``components`` rows each of logits of pi, of mu and of raw s, which passes through
    ``raw / (1 + |raw| / 5)``, so that no scale is below e^-5 or above e^5. Both steps use logits and are accurate in
    both tails. There y grows as the square root of x, and linearly from 10,000 on, so that the map is onto. The inverse
    is numeric for the mixture only. The start uses the quantiles of a standard normal, with which the map is nearly the
    identity on [-3, 3]; `start_from` uses the quantiles of data.

    Source: Meng, Song, Song & Ermon, "Gaussianization flows", 2020, section 3.1. Raises OptionError.

    >>> import torch
    >>> from pushforward.maps import ProbitMixture
    >>> map = ProbitMixture(components=4)
    >>> map.forward(torch.zeros(5), torch.randn(map.n_params, 5))[0].shape
    torch.Size([5])
    """

    broadcasts = True
    starts_from_data = True

    def __init__(self, components: int = 24) -> None:
        super().__init__()
        self.components = at_least_one(components, "components")
        self.n_params = 3 * components
        self.log_scale = SoftClampScale(5.0)
        self._kernel = MixtureOptions(components, limit=self.log_scale.limit)
        start = self._around(torch.special.ndtri(self._levels()), torch.ones((), dtype=torch.float64))
        self.start = nn.Buffer(start.float(), persistent=False)

    def forward(self, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        logit, log_slope = mixture(x, params, self._kernel, self._logit)
        y, probit_log_slope = probit_of_logit(logit)
        return y, log_slope + probit_log_slope

    def inverse(self, y: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        logit, logit_log_slope = logit_of_normal(y)
        x, log_slope = inverse_of_mixture(logit, params, self._kernel, self._logit)
        return x, log_slope + logit_log_slope

    def _logit(self, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        """The logit of the mixture's distribution function, and the log of its slope."""
        logits, means, raw_scales = params.chunk(3)
        log_rates = -self.log_scale(raw_scales)
        return logit_of_mixture((x - means) * log_rates.exp(), logits, log_rates)

    def start_from(self, x: Tensor) -> Tensor:
        """Equal weights, the mu at quantiles of ``x: (B, *event)``, and scales of the size of the gaps between them."""
        std = channel_moments(x.flatten(1))[1].reshape(x.shape[1:])
        x = in_float64(x)
        return self._around(x.sort(0).values[(self._levels() * len(x)).long().to(x.device)], std)

    def _levels(self) -> Tensor:
        return (torch.arange(self.components, dtype=torch.float64) + 0.5) / self.components

    def _around(self, anchors: Tensor, std: Tensor) -> Tensor:
        """Params with the means ``anchors: (K, *event)``, which are sorted quantiles; std: ``(*event)``, the standard
        deviation of their distribution."""
        k = self.components
        # The rule of thumb for the width of logistic kernels, in the authors' code; at most the width of all data.
        widest = std * min((4 * math.sqrt(math.pi) / (math.pi**4 * k)) ** 0.2, math.sqrt(3) / math.pi)
        scales = widest.expand(anchors.shape)
        if k > 1:
            gaps = anchors.diff(dim=0)
            around = torch.cat([gaps[:1], (gaps[1:] + gaps[:-1]) / 2, gaps[-1:]])
            scales = torch.minimum(_OF_GAP * around, scales).maximum(_NARROWEST * scales)
        # Equal values give equal quantiles, and equal components would stay equal.
        apart = leading_axis((self._levels() - 0.5).to(anchors), anchors.ndim)
        return torch.cat(
            [torch.zeros_like(anchors), anchors + _NARROWEST * widest * apart, self.log_scale.raw(scales.log())]
        )
