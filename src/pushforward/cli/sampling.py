"""Sampling for `pushforward sample`: in pieces, with progress."""

from __future__ import annotations

import math

import numpy as np
import torch

from pushforward.array_types import Array
from pushforward.cli.progress import show_progress
from pushforward.errors import OptionError
from pushforward.flow import Flow
from pushforward.inputs import on_device

_MAX_VALUES = 1 << 31
_PIECE_VALUES = 1 << 20


@torch.no_grad()
def draw(flow: Flow, n: int, context: Array | None, temperature: float, seed: int) -> tuple[Array, Array | None]:
    """``n`` events for each row of ``context``: ``(n * rows, *event_shape)`` and their contexts.

    Raises OptionError for an n that is not positive or does not fit into memory, and the errors of `Flow.sample`.
    """
    size = math.prod(flow.event_shape)
    conditions = 1 if context is None else len(context)
    if n < 1 or n * conditions * size > _MAX_VALUES:
        raise OptionError(f"n must be at least 1 and at most {_MAX_VALUES // (conditions * size):,} here, got {n}")
    generator = torch.Generator(device=flow.device).manual_seed(seed)
    piece = max(1, _PIECE_VALUES // (size * conditions))
    given = None if context is None else on_device(torch.as_tensor(context), flow.device)
    samples = []
    with show_progress("sampling", n * conditions) as advance:
        for start in range(0, n, piece):
            count = min(piece, n - start)
            x = flow.sample(count, given, temperature=temperature, generator=generator)
            samples.append(x.reshape(count * conditions, *flow.event_shape).cpu().numpy())
            advance(count * conditions)
    return np.concatenate(samples), None if context is None else np.concatenate([context] * n)
