"""Consistency of sampling and scoring: both must describe the same density."""

from __future__ import annotations

import torch
from torch import Tensor

from pushforward import noise as noise_source
from pushforward.diagnostics.integration import continuous_part
from pushforward.events import repeat_rows
from pushforward.flow import Flow
from pushforward.noise import NoiseValue
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
    generator.manual_seed(seed)
    parts = []
    with evaluation(flow):
        for start, stop in flow.sample_blocks(len(rows)):
            given = None if contexts is None else contexts[start:stop]
            noise = _path_noise(flow, rows[start:stop], given, generator)
            parts.append(flow.log_prob(rows[start:stop], given, noise=noise))
    scored = torch.cat(parts)
    error = in_float64((scored - claimed.flatten()).abs()) / in_float64(scored.abs().clamp(min=1))
    return torch.where(error.isnan(), torch.inf, error).reshape(groups)


def _path_noise(flow: Flow, rows: Tensor, contexts: Tensor | None, generator: torch.Generator) -> NoiseValue:
    """The noise for which `to_latent` returns the latents of samples; ``generator`` draws these again."""
    if flow.transform.noise_to_latent is None:
        return None
    embedded = flow.prepare_context(contexts, len(rows))
    z = flow.base.sample(len(rows), embedded, generator=generator, dtype=flow.dtype, device=flow.device)
    back = noise_source.draw(flow.transform.noise_to_data, len(rows), flow.dtype, flow.device, generator)
    return flow.transform.path_noise(rows, z, embedded, back)


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
