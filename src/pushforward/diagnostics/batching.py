"""Differences of a row's result between batches, and between float32 and float64."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from pushforward.diagnostics.inversion import relative_error
from pushforward.diagnostics.jacobian import take_rows
from pushforward.flow import Flow
from pushforward.noise import NoiseValue, map_noise
from pushforward.transforms.base import Direction, Transform


@torch.no_grad()
def batch_error(
    transform: Transform,
    inputs: Tensor,
    direction: Direction = "to_latent",
    context: Tensor | None = None,
    noise: NoiseValue = None,
) -> float:
    """The largest relative difference between a batch and the same rows, one at a time or in another order.

    Values and log terms both count; 0.0 for an empty batch.
    """
    run = transform.to_latent if direction == "to_latent" else transform.to_data

    def part(rows: Tensor | slice) -> tuple[Tensor, Tensor]:
        return run(inputs[rows], None if context is None else context[rows], take_rows(noise, rows))

    values, terms = run(inputs, context, noise)
    order = torch.arange(inputs.shape[0] - 1, -1, -1, device=inputs.device)
    others = [(order, *part(order))]
    for i in range(inputs.shape[0]):
        others.append((order.new_tensor([i]), *part(slice(i, i + 1))))
    errors = torch.cat(
        [
            torch.cat([relative_error(value, values[rows]), relative_error(term, terms[rows])])
            for rows, value, term in others
        ]
    )
    return float(errors.max()) if errors.numel() else 0.0


def cast(flow: Flow, dtype: torch.dtype) -> Flow:
    """A copy of the flow in evaluation mode, with floating-point weights of the given dtype."""
    return copy.deepcopy(flow).to(dtype).eval()


@torch.no_grad()
def precision_gap(flow: Flow, x: Tensor, context: Tensor | None = None, noise: NoiseValue = None) -> Tensor:
    """``|log_prob in float32 - log_prob in float64|`` of each row in nats, with the same weights, data and noise."""
    narrow = cast(flow, torch.float32)
    # The float64 copy gets the rounded weights, data and noise, so that only the arithmetic differs.
    x, noise = x.float(), noise_to(noise, torch.float32)
    a = narrow.log_prob(x, context, noise=noise).double()
    b = cast(narrow, torch.float64).log_prob(x.double(), context, noise=noise_to(noise, torch.float64))
    # Two values of -inf (outside the support) agree; NaN does not.
    gap = torch.where(a == b, 0.0, (a - b).abs())
    return torch.where(gap.isnan(), torch.inf, gap)


def noise_to(noise: NoiseValue, dtype: torch.dtype) -> NoiseValue:
    """Noise converted to the given dtype."""
    return map_noise(noise, lambda tensor: tensor.to(dtype))
