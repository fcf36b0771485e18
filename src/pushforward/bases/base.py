"""The contract of a base distribution, which a flow pushes forward."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pushforward.domain import REAL, Domain
from pushforward.errors import ContextError, OptionError
from pushforward.events import Shape
from pushforward.precision import has_float64, in_float64


@dataclass(frozen=True)
class Source:
    """The generator of a base's random numbers, and the dtype and device of its samples."""

    generator: torch.Generator | None
    dtype: torch.dtype
    device: torch.device

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers."""
        return torch.randn(*shape, generator=self.generator, dtype=self.dtype, device=self.device)

    def uniform(self, *shape: int) -> Tensor:
        """Uniform numbers in [0, 1)."""
        return torch.rand(*shape, generator=self.generator, dtype=self.dtype, device=self.device)

    def fine_uniform(self, *shape: int) -> Tensor:
        """Uniform numbers in [0, 1) in float64; float32's on the CPU where the device has no float64."""
        dtype = torch.float64 if has_float64(self.device) else torch.float32
        return in_float64(torch.rand(*shape, generator=self.generator, dtype=dtype, device=self.device))

    def take(self, value: Tensor) -> Tensor:
        """A weight in the dtype and on the device of the samples."""
        return value.to(dtype=self.dtype, device=self.device)


class Base(nn.Module, ABC):
    """A density on events of shape ``event_shape`` whose coordinates lie in ``support``.

    Sampling takes its generator, dtype and device as arguments, so that a base owns no dummy buffers and touches no
    global random state. Attributes that a subclass also sets: ``tempered``, whether its samples have a centre, from
    which a temperature scales deviations; ``conditional``, whether it needs a context.

    >>> import torch
    >>> from pushforward.bases import StandardNormal
    >>> base = StandardNormal((2,))
    >>> base.sample(3).shape, base.log_prob(torch.zeros(3, 2)).shape
    (torch.Size([3, 2]), torch.Size([3]))
    """

    event_shape: Shape
    support: Domain = REAL
    tempered: bool = True
    conditional: bool = False

    @property
    def label(self) -> str:
        """The readable name of the distribution."""
        return type(self).__name__

    @abstractmethod
    def log_prob(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Log-density (B,) in nats of ``z: (B, *event_shape)``; -inf outside the support."""

    @abstractmethod
    def _draw(self, n: int, context: Tensor | None, temperature: float, source: Source) -> Tensor:
        """`sample` after its checks: temperature is 1 for a base that is not ``tempered``."""

    def sample(
        self,
        n: int,
        context: Tensor | None = None,
        *,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """``n`` events ``(n, *event_shape)``, deviations from the centre scaled by ``temperature`` (> 0).

        context: ``(n, *context_shape)``, one row an event, where the base needs one. Raises OptionError for a
        temperature other than 1 where the base has no centre.
        """
        if temperature != 1.0 and not self.tempered:
            raise OptionError(f"{type(self).__name__} has no temperature; expected 1.0, got {temperature}")
        return self._draw(n, context, temperature, Source(generator, dtype, torch.device(device)))

    def cumulative(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """The distribution function of each coordinate at ``z: (B, *event_shape)``, for independent coordinates.

        Raises OptionError for a base that has none.
        """
        raise OptionError(f"{type(self).__name__} has no cumulative distribution function for each coordinate")

    def quantiles(self, levels: Tensor) -> Tensor | None:
        """The quantiles at probabilities ``levels`` of every coordinate: the inverse of `cumulative`.

        None for a base whose coordinates are not independent with one distribution, or have no formula for it.
        """
        return None

    def to_unbounded(self, z: Tensor) -> Tensor:
        """Latents ``z: (B, *event_shape)`` in unbounded coordinates, in which every mixture of two latents is a latent.

        Raises OptionError for a base that has no such coordinates.
        """
        if self.support.kind != "real" or math.isfinite(self.support.low) or math.isfinite(self.support.high):
            raise OptionError(
                f"latents on {self.support} cannot be mixed: interpolation needs a base on the real line "
                "or a uniform box"
            )
        return z

    def from_unbounded(self, y: Tensor) -> Tensor:
        """The inverse of `to_unbounded`."""
        return y


def required_context(context: Tensor | None, base: Base) -> Tensor:
    """The context of a conditional base; raises ContextError where there is none."""
    if context is None:
        raise ContextError(f"{type(base).__name__} needs a context, got none")
    return context
