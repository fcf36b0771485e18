"""Standardisation of a flow's context, so that a year or a mass in kilograms conditions as well as a unit normal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from pushforward.errors import ContextError
from pushforward.events import Shape
from pushforward.module_state import InitialisedByData
from pushforward.precision import has_float64

# Standard deviations up to which a context is unchanged; beyond, it grows logarithmically, to 8e5 at the largest
# float32. Nets clamp their inputs at 1e6, and two contexts must not become equal.
_LINEAR = 1e4


class ContextScale(nn.Module, InitialisedByData):
    """``(context - mean) / std`` for each number of a context, with moments in float64 that `initialise` sets once.

    Before `initialise`, and for models saved without moments, contexts pass unchanged. A number that does not vary
    among the contexts given is only centred. The moments stay float64 whatever dtype the flow has, and on a device
    without float64 they stay on the CPU.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.mean = nn.Buffer(torch.zeros(shape, dtype=torch.float64))
        self.std = nn.Buffer(torch.ones(shape, dtype=torch.float64))
        self.initialised = nn.Buffer(torch.zeros((), dtype=torch.bool))

    def forward(self, context: Tensor, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Contexts ``(B, *shape)`` of any real dtype, standardised, in ``dtype`` on ``device``."""
        raw = context.to(device, dtype)
        scaled = (context.to(self.mean.device, torch.float64) - self.mean) / self.std
        far = scaled.abs().clamp(min=_LINEAR)
        scaled = torch.where(scaled.abs() <= _LINEAR, scaled, scaled.sign() * _LINEAR * (1 + (far / _LINEAR).log()))
        return torch.where(self.initialised.to(device), scaled.to(device, dtype), raw)

    @torch.no_grad()
    def initialise(self, context: Tensor) -> None:
        """Take the moments of contexts ``(B, *shape)``, unless they are set already. Raises ContextError."""
        if bool(self.initialised):
            return
        values = context.to(self.mean.device, torch.float64)
        mean = values.mean(0)
        # Squares of small or large numbers leave even float64's range: the deviations are scaled first.
        size = (values - mean).abs().amax(0)
        unit = torch.where(size > 0, size, 1.0)
        std = ((values - mean) / unit).square().mean(0).sqrt() * unit
        if not (mean.isfinite().all() and std.isfinite().all()):
            raise ContextError("contexts that are not finite cannot set the flow's standardisation of contexts")
        # A column of one value still varies by the rounding of its mean.
        varies = size > 1e-12 * mean.abs()
        self.mean.copy_(mean)
        self.std.copy_(torch.where(varies & (std > 0), std, 1.0))
        self.initialised.fill_(True)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> ContextScale:
        device = fn(torch.zeros((), device=self.initialised.device)).device
        exact = device if has_float64(device) else torch.device("cpu")
        for name, value in self._buffers.items():
            assert value is not None
            self._buffers[name] = value.to(device if value.dtype == torch.bool else exact)
        return self

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: Any, strict: bool, missing: list[str], *more: Any
    ) -> None:
        ours: list[str] = []
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, ours, *more)
        # Flows were once saved without moments of their contexts.
        missing += ours if len(ours) < len(self.state_dict()) else []
