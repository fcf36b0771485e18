"""Whether probabilities are what they claim to be: PIT of the latents, and coverage of highest-density regions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pushforward.bases import StandardLogistic, StandardNormal, TorchBase, UniformBox
from pushforward.errors import OptionError
from pushforward.flow import Flow


@torch.no_grad()
def latent_pit(flow: Flow, x: Tensor, context: Tensor | None = None) -> Tensor:
    """The base's cumulative probabilities of the latents of ``x: (B, *event)``: ``(B, D)``.

    Uniform on (0, 1) and independent of each other if the flow is right. Raises OptionError for a base without a
    cumulative distribution function for each coordinate.
    """
    z = flow.latent(x, context).flatten(1).double()
    base = flow.base
    if isinstance(base, StandardNormal):
        normal: Tensor = torch.special.ndtr(z)
        return normal
    if isinstance(base, StandardLogistic):
        return z.sigmoid()
    if isinstance(base, UniformBox):
        return ((z - base.low) / (base.high - base.low)).clamp(0, 1)
    if isinstance(base, TorchBase) and not base.distribution.event_shape:
        try:
            cumulative: Tensor = base.distribution.cdf(z.reshape(-1, *base.event_shape))
            return cumulative.flatten(1)
        except NotImplementedError:
            return _cdf_by_name(base, z)
    raise OptionError(f"{type(base).__name__} has no cumulative distribution function for each coordinate")


def _cdf_by_name(base: TorchBase, z: Tensor) -> Tensor:
    """Student's t, which torch.distributions has no distribution function for."""
    from scipy.stats import t as student

    d = base.distribution
    if not isinstance(d, torch.distributions.StudentT):
        raise OptionError(f"{type(d).__name__} has no cumulative distribution function")
    df, loc, scale = (v.expand(base.event_shape).flatten().double().cpu().numpy() for v in (d.df, d.loc, d.scale))
    return torch.from_numpy(student.cdf(z.cpu().numpy(), df, loc, scale)).to(z.device)


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
