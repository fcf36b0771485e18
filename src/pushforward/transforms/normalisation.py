"""Normalisations that are flow steps: batch normalisation, activation normalisation, standardisation."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pushforward.channel_moments import channel_moments, channel_rows
from pushforward.errors import OptionError
from pushforward.events import Shape, leading_axis, zero_log_term
from pushforward.module_state import ChangesInTraining, InitialisedByData
from pushforward.noise import NoiseValue
from pushforward.transforms.base import Transform


class _PerChannel(Transform):
    """The layout of normalisations: one number per entry of axis 1, which all positions on later axes share."""

    def __init__(self, event_shape: Shape) -> None:
        super().__init__()
        if len(event_shape) < 1:
            raise OptionError(f"{type(self).__name__} needs an event with at least one axis, got shape ()")
        self.data_shape = self.latent_shape = tuple(event_shape)
        self.channels = event_shape[0]
        self.positions = math.prod(event_shape[1:])

    def _wide(self, v: Tensor) -> Tensor:
        return leading_axis(v, len(self.data_shape))

    def _affine(self, x: Tensor, mean: Tensor, log_std: Tensor) -> tuple[Tensor, Tensor]:
        z = (x - self._wide(mean)) * self._wide((-log_std).exp())
        return z, zero_log_term(x) - self.positions * log_std.sum()

    def _unaffine(self, z: Tensor, mean: Tensor, log_std: Tensor) -> tuple[Tensor, Tensor]:
        x = z * self._wide(log_std.exp()) + self._wide(mean)
        return x, zero_log_term(z) + self.positions * log_std.sum()


class BatchNorm(_PerChannel, ChangesInTraining):
    """Batch normalisation as a flow step: ``z = (x - mean) / sqrt(var + eps)`` for each channel.

    While training the moments are the batch's (so the training loss is not a density); otherwise the running ones, in
    both directions. ``lag=True`` normalises by the running moments after their update by the batch, with a gradient
    through the batch's part only (Real NVP, appendix E). ``momentum`` is the batch's weight in the running moments;
    None gives the plain average over the batches since `reset_running_stats`. ``zeros`` is the number of zeros that the
    moments include in addition to the positions of a channel, as the authors' code counts the pixels that a
    checkerboard mask hides. ``from_data=False`` leaves the running moments at mean 0 and variance 1 in `initialise`.

    Source: Real NVP, section 3.7 and eq. 22: log term ``-0.5 sum ln(var + eps)`` over all coordinates.

    >>> import torch
    >>> from pushforward.transforms import BatchNorm
    >>> z, log_term = BatchNorm((2,)).train().to_latent(5 + 3 * torch.randn(100, 2))
    >>> bool(z.mean(0).abs().max() < 1e-4)
    True
    """

    def __init__(
        self,
        event_shape: Shape,
        momentum: float | None = 0.1,
        eps: float = 1e-4,
        lag: bool = False,
        zeros: int = 0,
        from_data: bool = True,
    ) -> None:
        super().__init__(event_shape)
        if not (momentum is None or 0 < momentum <= 1):
            raise OptionError(f"momentum must be in (0, 1] or None, got {momentum}")
        if not eps > 0:
            raise OptionError(f"eps must be above 0, got {eps}")
        if zeros < 0:
            raise OptionError(f"zeros must not be negative, got {zeros}")
        self.momentum, self.eps, self.lag = momentum, eps, lag
        self.zeros, self.from_data = zeros, from_data
        self.running_mean = nn.Buffer(torch.zeros(self.channels))
        self.running_var = nn.Buffer(torch.ones(self.channels))
        self.num_batches_tracked = nn.Buffer(torch.zeros((), dtype=torch.long))

    def reset_running_stats(self) -> None:
        """Reset the running moments: mean 0, variance 1, no batches."""
        self.running_mean.zero_()
        self.running_var.fill_(1)
        self.num_batches_tracked.zero_()

    def _log_std(self, var: Tensor) -> Tensor:
        return 0.5 * (var + self.eps).log()

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        if not self.training or x.shape[0] * self.positions < 2:
            return self._affine(x, self.running_mean, self._log_std(self.running_var))
        mean, var = self._moments(x)
        lagged = self._track(mean, var)
        if self.lag:
            mean, var = lagged
        return self._affine(x, mean, self._log_std(var))

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        return self._unaffine(z, self.running_mean, self._log_std(self.running_var))

    def initialise(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> None:
        if self.from_data and x.shape[0] * self.positions > 1:
            mean, var = self._moments(x)
            self.running_mean.copy_(mean)
            self.running_var.copy_(var)

    def _moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of each channel of a batch, with the zeros."""
        var, mean = torch.var_mean(channel_rows(x), 1, correction=0)
        if not self.zeros:
            return mean, var
        fraction = self.positions / (self.positions + self.zeros)
        return fraction * mean, fraction * (var + (1 - fraction) * mean.square())

    def _track(self, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
        """Update the running moments by a batch's; returns these with the batch's gradient."""
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
        weight = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
        new_mean = self.running_mean + weight * (mean - self.running_mean)
        new_var = self.running_var + weight * (var - self.running_var)
        with torch.no_grad():
            self.running_mean.copy_(new_mean)
            self.running_var.copy_(new_var)
        return new_mean, new_var


class ActNorm(_PerChannel, InitialisedByData):
    """Activation normalisation: a learned offset and log-scale for each channel, set from data once by `initialise`.

    After `initialise` the given batch has mean 0 and variance 1 in each channel; before, the transform is the identity.
    A channel that does not vary in that batch keeps its scale. Source: Kingma & Dhariwal, "Glow", 2018, section 3.1.

    >>> import torch
    >>> from pushforward.transforms import ActNorm
    >>> step, x = ActNorm((2,)), 5 + 3 * torch.randn(100, 2)
    >>> step.initialise(x)
    >>> z, _ = step.to_latent(x)
    >>> bool(z.mean(0).abs().max() < 1e-4)
    True
    """

    def __init__(self, event_shape: Shape) -> None:
        super().__init__(event_shape)
        self.offset = nn.Parameter(torch.zeros(self.channels))
        self.log_std = nn.Parameter(torch.zeros(self.channels))
        self.initialised = nn.Buffer(torch.zeros((), dtype=torch.bool))

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        return self._affine(x, self.offset, self.log_std)

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        return self._unaffine(z, self.offset, self.log_std)

    @torch.no_grad()
    def initialise(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> None:
        if bool(self.initialised):
            return
        mean, std = channel_moments(x)
        self.offset.copy_(mean)
        self.log_std.copy_(std.log())
        self.initialised.fill_(True)


class Standardise(_PerChannel, InitialisedByData):
    """Fixed standardisation ``z = (x - mean) / std`` for each channel, with moments set once by `initialise`.

    A channel that does not vary is only centred. Part of the model, so that its density is that of the data as given.

    >>> import torch
    >>> from pushforward.transforms import Standardise
    >>> step, x = Standardise((1,)), torch.tensor([[1.0], [3.0]])
    >>> step.initialise(x)
    >>> step.to_latent(x)[0].flatten()
    tensor([-1.,  1.])
    """

    def __init__(self, event_shape: Shape) -> None:
        super().__init__(event_shape)
        self.mean = nn.Buffer(torch.zeros(self.channels))
        self.std = nn.Buffer(torch.ones(self.channels))
        self.initialised = nn.Buffer(torch.zeros((), dtype=torch.bool))

    def to_latent(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        # Dividing here and multiplying in `to_data` makes the round trip as accurate as the dtype allows.
        return (x - self._wide(self.mean)) / self._wide(self.std), self._log_term(x, -1.0)

    def to_data(self, z: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> tuple[Tensor, Tensor]:
        return z * self._wide(self.std) + self._wide(self.mean), self._log_term(z, 1.0)

    def _log_term(self, x: Tensor, sign: float) -> Tensor:
        return zero_log_term(x) + sign * self.positions * self.std.log().sum()

    @torch.no_grad()
    def initialise(self, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> None:
        if bool(self.initialised):
            return
        mean, std = channel_moments(x)
        self.mean.copy_(mean)
        self.std.copy_(std)
        self.initialised.fill_(True)
