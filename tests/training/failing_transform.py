"""A transform that goes wrong when it is told to."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pushforward.bases import StandardNormal
from pushforward.events import zero_log_term
from pushforward.flow import Flow
from pushforward.transforms import BatchNorm, Identity
from pushforward.transforms.base import Chain, Transform


class Failing(Transform):
    """A learned shift of ``(features,)``, one too far at the start, that goes wrong in the calls that ``when`` says.

    Only calls that train count. what: ``value`` (latents of NaN), ``log`` (a log term of infinity) or ``gradient`` (a
    gradient of NaN, all values finite).
    """

    def __init__(self, features=2, when=lambda call: False, what="value"):
        super().__init__()
        self.data_shape = self.latent_shape = (features,)
        self.shift = nn.Parameter(torch.ones(features))
        self.when, self.what, self.calls = when, what, 0

    def to_latent(self, x, context=None, noise=None) -> tuple[Tensor, Tensor]:
        z, log_term = x - self.shift, zero_log_term(x)
        if not self.training:
            return z, log_term
        self.calls += torch.is_grad_enabled()
        if self.when(self.calls):
            if self.what == "value":
                z = z * torch.nan
            elif self.what == "log":
                log_term = log_term + torch.inf
            else:
                # The slope of a square root at 0 is infinite, and infinity times 0 is NaN.
                z = z + (0 * self.shift).square().sqrt()
        return z, log_term

    def to_data(self, z, context=None, noise=None) -> tuple[Tensor, Tensor]:
        return z + self.shift, zero_log_term(z)


def failing_flow(**options) -> Flow:
    """A flow whose transform 2 is a `Failing` one, after a batch normalisation whose statistics can be spoiled."""
    layers = [Identity((2,)), BatchNorm((2,)), Failing(**options), Identity((2,))]
    return Flow(StandardNormal((2,)), Chain(layers))
