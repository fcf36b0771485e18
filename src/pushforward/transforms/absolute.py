"""The absolute value as a surjection, for densities that are symmetric or nearly so."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pushforward.domain import Domain
from pushforward.events import Shape, log_dtype, sum_event, zero_log_term
from pushforward.noise import Noise, NoiseValue, required_noise
from pushforward.transforms.base import Transform


class Abs(Transform):
    """The absolute value ``z = |x|`` on (0, inf); `to_data` draws the signs. The likelihood is exact.

    net: called as ``net(z, context)``, returns ``(B, *event_shape)``, the logits of positive signs; None: both signs
    are equally likely, and the density is symmetric. The log term is ``ln p(sign | z)``, ``-ln 2`` per coordinate for
    equally likely signs. A zero counts as positive.

    Source: Nielsen, Jaini, Hoogeboom, Winther & Welling, "SurVAE flows", 2020, section 3.2 and appendix B.

    >>> import torch
    >>> from pushforward.transforms import Abs
    >>> z, log_term = Abs((1,)).to_latent(torch.tensor([[-2.0], [2.0]]))
    >>> z.flatten(), log_term.exp()
    (tensor([2., 2.]), tensor([0.5000, 0.5000]))
    """

    codomain = Domain("real", 0.0)

    def __init__(self, event_shape: Shape, net: nn.Module | None = None) -> None:
        super().__init__()
        self.data_shape = self.latent_shape = tuple(event_shape)
        self.net = net
        self.noise_to_data = Noise(self.data_shape, "uniform")

    def _logits(self, z: Tensor, context: Tensor | None) -> Tensor | None:
        if self.net is None:
            return None
        logits: Tensor = self.net(z, context).to(log_dtype(z))
        return logits.reshape(z.shape)

    def _log_term(self, z: Tensor, positive: Tensor, logits: Tensor | None) -> Tensor:
        """The log-probability of the signs."""
        if logits is None:
            return zero_log_term(z) - math.log(2) * math.prod(self.data_shape)
        return sum_event(F.logsigmoid(torch.where(positive, logits, -logits)))

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        z = x.abs()
        return z, self._log_term(z, x >= 0, self._logits(z, context))

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        noise = required_noise(noise, self, "one uniform number per coordinate for the sign, in to_data")
        logits = self._logits(z, context)
        positive = noise < (0.5 if logits is None else logits.sigmoid())
        return torch.where(positive, z, -z), -self._log_term(z, positive, logits)
