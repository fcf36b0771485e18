"""Standardisation of a flow's context, so that a year or a mass in kilograms conditions as well as a unit normal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from pushforward.channel_moments import channel_moments
from pushforward.errors import ContextError
from pushforward.events import Shape
from pushforward.module_state import CheckedState, InitialisedByData
from pushforward.precision import has_float64

# Standard deviations up to which a context is unchanged; beyond, it grows logarithmically, to 8e5 at the largest
# float32. Nets clamp their inputs at 1e6, and two contexts must not become equal.
_LINEAR = 1e4


class ContextScale(nn.Module, InitialisedByData, CheckedState):
    """``(context - mean) / std`` for each number of a context, with moments in float64 that `initialise` sets once.

    Before `initialise` contexts pass unchanged. A number that does not vary among the contexts given is only centred. A
    standard deviation of 0 means that contexts pass unchanged for good: it marks models saved without moments. The
    moments stay float64 whatever dtype the flow has, and on a device without float64 they stay on the CPU.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.mean = nn.Buffer(torch.zeros(shape, dtype=torch.float64))
        self.std = nn.Buffer(torch.ones(shape, dtype=torch.float64))
        self.initialised = nn.Buffer(torch.zeros((), dtype=torch.bool))

    def forward(self, context: Tensor, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Contexts ``(B, *shape)`` of any real dtype, standardised, in ``dtype`` on ``device``."""
        raw, known = context.to(device, dtype), self.std > 0
        scaled = (context.to(self.mean.device, torch.float64) - self.mean) / torch.where(known, self.std, 1.0)
        size = scaled.abs()
        far = scaled.sign() * _LINEAR * (1 + (size.clamp(min=_LINEAR) / _LINEAR).log())
        scaled = torch.where(size <= _LINEAR, scaled, far)
        return torch.where(self.initialised.to(device) & known.to(device), scaled.to(device, dtype), raw)

    @torch.no_grad()
    def initialise(self, context: Tensor) -> None:
        """Take the moments of contexts ``(B, *shape)``, unless they are set already. Raises ContextError."""
        if bool(self.initialised):
            return
        values = context.to(self.mean.device, torch.float64)
        if not bool(values.isfinite().all()):
            raise ContextError("contexts that are not finite cannot set the flow's standardisation of contexts")
        mean, std = channel_moments(values.reshape(len(values), -1))
        self.mean.copy_(mean.reshape(self.mean.shape))
        self.std.copy_(std.reshape(self.std.shape))
        self.initialised.fill_(True)

    def state_problem(self) -> str | None:
        return "has a negative standard deviation" if bool((self.std < 0).any()) else None

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
        if len(ours) < len(self.state_dict()):
            missing += ours
            return
        # Flows were once saved without moments of their contexts, and their nets were trained on unscaled ones.
        self.std.zero_()
        self.initialised.fill_(True)
