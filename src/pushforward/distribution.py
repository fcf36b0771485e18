"""A flow as ``torch.distributions`` knows densities."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution

from pushforward.density import Density
from pushforward.inputs import TensorLike


class FlowDistribution(Distribution):
    """The view of a flow that ``torch.distributions`` knows, for a given context."""

    arg_constraints: dict[str, object] = {}  # type: ignore[assignment]  # noqa: RUF012
    has_rsample = True

    def __init__(self, flow: Density, context: TensorLike | None = None) -> None:
        self.flow = flow
        self.context = flow.context_values(context)
        self._grouped = self.context is not None and self.context.shape[0] != 1
        batch = torch.Size([self.context.shape[0]]) if self.context is not None and self._grouped else torch.Size()
        super().__init__(batch, torch.Size(flow.event_shape), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        shape = torch.broadcast_shapes(value.shape, self.batch_shape + self.event_shape)
        lead = shape[: len(shape) - len(self.event_shape)]
        context = self.context
        if context is not None and self._grouped:
            context = context.expand(*lead, *context.shape[1:]).reshape(-1, *context.shape[1:])
        return self.flow.log_prob(value.expand(shape).reshape(-1, *self.event_shape), context).reshape(lead)

    def rsample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        shape = torch.Size(sample_shape)
        x = self.flow.sample(shape.numel(), self.context, gradients=True)
        return x.reshape(shape + self.batch_shape + self.event_shape)

    def sample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        with torch.no_grad():
            return self.rsample(sample_shape)
