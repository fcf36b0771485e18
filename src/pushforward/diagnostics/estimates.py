"""Log terms estimated from probes, compared with the exact log terms that should be their means."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pushforward import noise as noise_source
from pushforward.noise import has_role
from pushforward.transforms.base import Direction, Transform
from pushforward.transforms.stochastic_log_det import exactly

_ROWS_AT_ONCE = 4096


def has_probes(transform: Transform, direction: Direction = "to_latent") -> bool:
    """Whether the log term of the given direction is estimated from probes."""
    spec = transform.noise_to_latent if direction == "to_latent" else transform.noise_to_data
    return has_role(spec, "probe")


@torch.no_grad()
def estimated_log_terms(
    transform: Transform,
    inputs: Tensor,
    direction: Direction = "to_latent",
    context: Tensor | None = None,
    probes: int = 1000,
    seed: int = 0,
) -> tuple[Tensor, Tensor]:
    """Estimated log terms ``(probes, B)``, with different probes and equal other noise, and the exact ones ``(B,)``.

    The noise is keyed by ``seed`` and the index of the row in ``inputs: (B, *event)``.
    """
    back = direction == "to_data"
    run = transform.to_data if back else transform.to_latent
    spec = transform.noise_to_data if back else transform.noise_to_latent
    rows = torch.arange(inputs.shape[0])

    def terms(numbers: Tensor) -> Tensor:
        count = len(numbers)
        probe = numbers.repeat_interleave(len(rows))
        copies = [None if v is None else v.repeat(count, *(1,) * (v.ndim - 1)) for v in (inputs, context)]
        assert copies[0] is not None
        noise = noise_source.keyed(spec, seed, rows.repeat(count), inputs.dtype, inputs.device, 0, probe)
        return run(copies[0], copies[1], noise)[1]

    with exactly(transform):
        exact = terms(torch.zeros(1, dtype=torch.long))
    at_once = max(1, _ROWS_AT_ONCE // max(1, len(rows)))
    estimates = [terms(part).reshape(len(part), -1) for part in torch.arange(probes).split(at_once)]
    return torch.cat(estimates), exact


def excess(values: Tensor, exact: Tensor, bias: float = 0.0, standard_errors: float = 4.0) -> Tensor:
    """The distance of the mean of ``values: (n, ...)`` from ``exact: (...)``, less ``bias`` and some standard errors.

    At most 0 where the mean agrees with the exact value; NaN counts as inf.
    """
    # If the probes have no effect, only rounding errors remain, which are not independent.
    rounding = 64 * torch.finfo(values.dtype).eps * (1 + exact.abs())
    allowed = bias + rounding + standard_errors * values.std(0) / math.sqrt(values.shape[0])
    gap = (values.mean(0) - exact).abs() - allowed
    return torch.where(gap.isnan(), math.inf, gap)
