"""Consistency of sampling and scoring: both must describe the same density."""

from __future__ import annotations

import torch
from torch import Tensor

from pushforward import noise as noise_source
from pushforward.diagnostics.integration import continuous_part
from pushforward.events import repeat_rows
from pushforward.flow import Flow
from pushforward.precision import evaluation, in_float64
from pushforward.transforms.dequantisation import dequantisation


@torch.no_grad()
def sampling_error(flow: Flow, n: int, context: Tensor | None = None, seed: int = 0) -> Tensor:
    """``|log_prob(x) - sample_and_log_prob| / max(1, |log_prob|)`` of ``n`` samples, ``(n,)`` or ``(n, B)``.

    For a bound, `log_prob` gets the noise for which `to_latent` returns the latent of the sample. NaN counts as inf.
    """
    generator = torch.Generator(flow.device)
    x, claimed = flow.sample_and_log_prob(n, context, generator=generator.manual_seed(seed))
    groups = claimed.shape
    rows = x.reshape(-1, *flow.event_shape)
    # The same draws again, to get the latents of the samples.
    contexts = None
    if context is not None:
        contexts = repeat_rows(context, n)
    noise = None
    if flow.transform.noise_to_latent is not None:
        with evaluation(flow):
            embedded = flow.prepare_context(contexts, rows.shape[0])
            z = flow.base.sample(
                len(rows), embedded, generator=generator.manual_seed(seed), dtype=flow.dtype, device=flow.device
            )
            spec = flow.transform.noise_to_data
            back = noise_source.draw(spec, len(rows), flow.dtype, flow.device, generator)
            noise = flow.transform.path_noise(rows, z, embedded, back)
    with evaluation(flow):
        scored = flow.log_prob(rows, contexts, noise=noise)
    error = in_float64((scored - claimed.flatten()).abs()) / in_float64(scored.abs().clamp(min=1))
    return torch.where(error.isnan(), torch.inf, error).reshape(groups)


@torch.no_grad()
def clamped_fractions(flow: Flow, n: int = 256, context: Tensor | None = None, seed: int = 0) -> tuple[float, float]:
    """The fractions of sampled values that are clamped: below the lowest level, and above the highest.

    For a flow that starts with a dequantisation; ``(0.0, 0.0)`` for others.
    """
    first = dequantisation(flow.transform)
    if first is None:
        return 0.0, 0.0
    y = continuous_part(flow).sample(n, context, generator=torch.Generator(flow.device).manual_seed(seed))
    unit = first.codomain
    return float((y < unit.low).cpu().double().mean()), float((y > unit.high).cpu().double().mean())
