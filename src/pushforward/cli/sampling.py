"""Sampling for `pushforward sample`: in blocks, with progress."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch

from pushforward.array_types import Array
from pushforward.cli.progress import show_progress
from pushforward.errors import OptionError
from pushforward.flow import Flow
from pushforward.inputs import on_device

# The most values that are held in memory, and that are written to a file block by block.
_HELD_VALUES, _WRITTEN_VALUES = 1 << 31, 1 << 40
_PIECE_VALUES = 1 << 20


@torch.no_grad()
def draw(
    flow: Flow, n: int, context: Array | None, temperature: float, seed: int, *, held: bool
) -> Iterator[tuple[Array, Array | None]]:
    """``n`` events for each row of ``context``, in blocks ``(B, *event_shape)`` with their contexts.

    held: whether all events will be held in memory. Raises OptionError for an n that is not positive or too large, and
    the errors of `Flow.sample`.
    """
    size = math.prod(flow.event_shape)
    conditions = 1 if context is None else len(context)
    most = (_HELD_VALUES if held else _WRITTEN_VALUES) // (conditions * size)
    if not 1 <= n <= most:
        raise OptionError(f"n must be at least 1 and at most {most:,} here, got {n}")
    generator = torch.Generator(device=flow.device).manual_seed(seed)
    piece = max(1, _PIECE_VALUES // (size * conditions))
    given = None if context is None else on_device(torch.as_tensor(context), flow.device)
    with show_progress("sampling", n * conditions) as advance:
        for start in range(0, n, piece):
            count = min(piece, n - start)
            x = flow.sample(count, given, temperature=temperature, generator=generator)
            beside = None if context is None else np.concatenate([context] * count)
            yield x.reshape(count * conditions, *flow.event_shape).cpu().numpy(), beside
            advance(count * conditions)
