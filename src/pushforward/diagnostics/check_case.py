"""The input of the measurements of a check: the flow in both precisions, and rows of data with their noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pushforward import noise as noise_source
from pushforward.diagnostics.batching import cast
from pushforward.errors import ShapeError
from pushforward.flow import Flow
from pushforward.inputs import as_tensor, on_device
from pushforward.noise import NoiseValue
from pushforward.transforms.stochastic_log_det import numeric_error

_VALUES = 50_000  # of data to check, so that large images also take only seconds


@dataclass(frozen=True)
class Case:
    """The input of all measurements: the flow in both precisions, and rows of data with their noise."""

    flow: Flow
    wide: Flow
    x: Tensor
    context: Tensor | None
    noise: NoiseValue
    seed: int

    @property
    def numeric(self) -> float:
        """The tolerance of numeric solvers, which is added to the tolerance of a check."""
        return numeric_error(self.flow, torch.float32)

    @property
    def narrow_context(self) -> Tensor | None:
        """The embedded context of all rows in float32, for the transforms."""
        return self.flow.prepare_context(self.context, len(self.x))

    def embedded(self, rows: int | None = None) -> Tensor | None:
        """The embedded context of the first rows in float64, for the transforms."""
        context = self.wide.prepare_context(self.context, self.x.shape[0])
        return None if context is None else context.detach()[:rows]

    def back(self, rows: int | None = None) -> NoiseValue:
        """The noise of `to_data` for the first rows."""
        numbers = torch.arange(len(self.x) if rows is None else rows)
        return noise_source.keyed(
            self.wide.transform.noise_to_data, self.seed, numbers, torch.float64, self.wide.device
        )


def prepare(flow: Flow, x: Any, context: Any, rows: int, seed: int) -> Case:
    """The case of at most ``rows`` rows of ``x``, or of the flow's samples. Raises ShapeError, ContextError."""
    wide = cast(flow, torch.float64)
    rows = min(rows, max(16, _VALUES // max(1, math.prod(flow.event_shape))))
    given = None if context is None else on_device(as_tensor(context, "context"), flow.device)
    generator = torch.Generator().manual_seed(seed)
    if x is None:
        if flow.context_shape is None:
            data = flow.sample(rows, generator=torch.Generator(flow.device).manual_seed(seed))
        else:
            if given is None or not len(given):
                flow.prepare_context(given)  # raises: a conditional flow cannot be sampled without a context
            picked = torch.randint(0, len(given), (rows,), generator=generator)  # type: ignore[arg-type]
            given = given[picked.to(flow.device)]  # type: ignore[index]
            data = flow.sample(1, given, generator=torch.Generator(flow.device).manual_seed(seed))[0]
    else:
        data = on_device(as_tensor(x, "x"), flow.device)
        if tuple(data.shape[1:]) != flow.event_shape or data.ndim == 0 or not len(data):
            raise ShapeError(f"x: at least one row of shape {flow.event_shape} expected, got {tuple(data.shape)}")
        if len(data) > rows:
            picked = torch.randperm(len(data), generator=generator)[:rows].to(flow.device)
            data = data[picked]
            given = given[picked] if given is not None and len(given) > 1 else given
    flow.prepare_context(given, len(data))  # raises if the context does not match the flow
    # Rounded to float32 once, so that both precisions get the same values.
    data = data.detach().float().double()
    spec = flow.transform.noise_to_latent
    noise = noise_source.keyed(spec, seed, torch.arange(len(data)), torch.float64, flow.device)
    return Case(cast(flow, torch.float32), wide, data, given, noise, seed)
