"""Quadrature over the noise of a bound: the exact log-likelihood, by quasi-Monte Carlo."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from pushforward.errors import OptionError
from pushforward.flow import Flow
from pushforward.noise import Noise, NoiseSpec, NoiseValue

# In more dimensions Sobol sequences are no better than random numbers.
_NUMBERS = 64


@torch.no_grad()
def integrated_over_noise(flow: Flow, x: Tensor, context: Tensor | None = None, points: int = 2**14) -> Tensor:
    """The exact log-likelihood ``(B,)`` of a bound for ``x: (B, *event)``: the log-mean-exp over its noise.

    It is exact if the importance weights are normalised, which `integrate` checks. context: one row or none. points:
    the length of a scrambled Sobol sequence over the noise of a row. Raises OptionError for more than 64 random
    numbers.
    """
    spec = flow.transform.noise_to_latent
    if _numbers(spec) > _NUMBERS:
        raise OptionError(
            f"quadrature over the noise supports up to {_NUMBERS} random numbers per row, got {_numbers(spec)}"
        )
    engine = torch.quasirandom.SobolEngine(max(1, _numbers(spec)), scramble=True, seed=0)
    uniform = engine.draw(points, dtype=flow.dtype).clamp(2**-40, 1 - 2**-24)
    noise = _laid_out(spec, iter(uniform.to(flow.device).unbind(1)))
    values = [flow.log_prob(row.expand(points, *row.shape), context, noise=noise) for row in x]
    return torch.stack(values).logsumexp(1) - math.log(points)


def _numbers(spec: NoiseSpec) -> int:
    """The number of random numbers in the noise of one event."""
    return math.prod(spec.shape) if isinstance(spec, Noise) else sum(map(_numbers, spec or ()))


def _laid_out(spec: NoiseSpec, columns: Iterator[Tensor]) -> NoiseValue:
    """Noise of the declared distributions and shapes, computed from columns of uniform numbers."""
    if spec is None:
        return None
    if not isinstance(spec, Noise):
        return tuple(_laid_out(part, columns) for part in spec)
    values = torch.stack([next(columns) for _ in range(math.prod(spec.shape))], 1).reshape(-1, *spec.shape)
    if spec.law == "uniform":
        return values
    return torch.special.ndtri(values) if spec.law == "normal" else (values - 0.5).sign()
