"""The distribution function of a mixture of logistics, mapped to the real line by the logit.

`DeepSigmoidal` shares its core, `logit_of_mixture`. It computes in log space, without clipping: both tails are
accurate, and the map is onto.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pushforward.kernels.mixture import MixtureOptions, Reference, mixture, mixture_inverse
from pushforward.maps.affine import SoftClampScale
from pushforward.maps.map import Map
from pushforward.maps.numeric import invert
from pushforward.option_checks import at_least_one


class LogisticMixture(Map):
    """``y = e^a logit(sum_k pi_k sigmoid((x - mu_k) e^-s_k)) + b``: the map of Flow++'s couplings.

    params: ``components`` rows each of logits of pi, of mu and of raw s, then raw a and b. Raw s and a pass through
    ``raw / (1 + |raw| / 5)``, so that no scale is below e^-5 or above e^5. At the start the means are evenly spaced in
    [-1, 1] and the other parameters are those of the identity: with 8 components the map then differs from the identity
    by at most 0.21. The inverse is numeric.

    Source: Ho, Chen, Srinivas, Duan & Abbeel, "Flow++", 2019, section 3.2. Raises OptionError.

    >>> import torch
    >>> from pushforward.maps import LogisticMixture
    >>> map = LogisticMixture(components=4)
    >>> map.forward(torch.zeros(5), torch.randn(map.n_params, 5))[0].shape
    torch.Size([5])
    """

    def __init__(self, components: int = 8) -> None:
        super().__init__()
        self.components = at_least_one(components, "components")
        self.n_params = 3 * components + 2
        self.log_scale = SoftClampScale(5.0)
        start = torch.zeros(self.n_params)
        start[components : 2 * components] = evenly(components)
        self.start = nn.Buffer(start, persistent=False)
        self._kernel = MixtureOptions(components, affine=True, limit=self.log_scale.limit)

    def forward(self, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        return mixture(x, params, self._kernel, self._formula)

    def inverse(self, y: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        return inverse_of_mixture(y, params, self._kernel, self._formula)

    def _formula(self, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        k = self.components
        logits, means, raw_scales, (raw_a, b) = params.split([k, k, k, 2])
        log_rates = -self.log_scale(raw_scales)
        value, log_slope = logit_of_mixture((x - means) * log_rates.exp(), logits, log_rates)
        a = self.log_scale(raw_a)
        return value * a.exp() + b, log_slope + a


def inverse_of_mixture(y: Tensor, params: Tensor, options: MixtureOptions, formula: Reference) -> tuple[Tensor, Tensor]:
    """The inverse of a `mixture` with these options, and its log-slope; formula: the same map in torch's operations."""
    root = mixture_inverse(y, params, options)
    return invert(lambda x: mixture(x, params, options, formula), y, root=root)


def logit_of_mixture(u: Tensor, logits: Tensor, log_rates: Tensor) -> tuple[Tensor, Tensor]:
    """``logit(F)`` with ``F = sum_k w_k sigmoid(u_k)``, and the log of its slope in x, where ``du_k / dx = e^(r_k)``.

    u, logits (w is their softmax) and log_rates (the r): ``(K, ...)``, the components first. Results: ``(...)``.

    With ``p_k = w_k sigmoid(u_k) / F`` and ``q_k = w_k sigmoid(-u_k) / (1 - F)``, the fractions of the components in
    either tail, the slope is ``sum_k e^(r_k) (p_k sigmoid(-u_k) + q_k sigmoid(u_k))``: a sum of positive numbers, where
    the quotient of F's slope and ``F (1 - F)`` would cancel huge logarithms.
    """
    log_weights = logits.log_softmax(0)
    log_left, log_right = F.logsigmoid(u), F.logsigmoid(-u)
    below, above = log_weights + log_left, log_weights + log_right
    # log_softmax subtracts the largest term first: far out, where all terms are of size 1e30, its weight is exactly 1.
    log_p, log_q = below.log_softmax(0), above.log_softmax(0)
    terms = torch.cat([log_rates + log_p + log_right, log_rates + log_q + log_left])
    return below.logsumexp(0) - above.logsumexp(0), terms.logsumexp(0)


def evenly(components: int) -> Tensor:
    """``components`` evenly spaced numbers in [-1, 1]; 0 for a single one."""
    return torch.linspace(-1, 1, components) if components > 1 else torch.zeros(1)
