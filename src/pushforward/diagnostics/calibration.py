"""Whether probabilities are what they claim to be: PIT of the latents, and coverage of highest-density regions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pushforward.flow import Flow


@torch.no_grad()
def latent_pit(flow: Flow, x: Tensor, context: Tensor | None = None) -> Tensor:
    """The base's cumulative probabilities of the latents of ``x: (B, *event)``: ``(B, D)``.

    Uniform on (0, 1) and independent of each other if the flow is right. Raises OptionError for a base without a
    cumulative distribution function for each coordinate.
    """
    contexts = flow._context(context, x.shape[0])
    base, rows = flow.base, x.shape[0]
    return base.cumulative(flow.latent(x, context), contexts).reshape(rows, -1).double()


def uniformity(values: Tensor) -> float:
    """The p-value of the Kolmogorov-Smirnov test that ``values: (N,)`` are uniform on (0, 1)."""
    from scipy.stats import kstest

    return float(kstest(values.detach().cpu().numpy(), "uniform").pvalue)


@torch.no_grad()
def coverage(
    flow: Flow,
    x: Tensor,
    levels: Sequence[float] = (0.5, 0.8, 0.95),
    samples: int = 50_000,
    seed: int = 0,
) -> tuple[float, ...]:
    """The share of the rows of ``x`` inside the model's highest-density region of each level.

    A region's density threshold is a quantile of the log-density of ``samples`` draws of the model, so that a level is
    known to about ``0.5 / sqrt(samples)``. For unconditional flows.
    """
    generator = torch.Generator(flow.device).manual_seed(seed)
    _, drawn = flow.sample_and_log_prob(samples, generator=generator)
    values = flow.log_prob(x)
    # Rank, with ties counted half: a constant density (a box) has no order to decide by, only its edge.
    ordered = drawn.sort().values
    below = torch.searchsorted(ordered, values.contiguous(), right=False)
    upto = torch.searchsorted(ordered, values.contiguous(), right=True)
    rank = (below + (upto - below) * torch.rand(values.shape, generator=generator, device=values.device)) / samples
    inside = values > -torch.inf
    return tuple(float(((rank >= 1 - level) & inside).double().mean()) for level in levels)
