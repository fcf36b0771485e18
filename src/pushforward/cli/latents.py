"""The jobs of `pushforward encode` and `pushforward decode`."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch

from pushforward.array_types import Array
from pushforward.cli.progress import counted
from pushforward.data import DataSet, load
from pushforward.errors import DataError
from pushforward.evaluation.scores import latent_batches, part_of
from pushforward.storage import SavedModel

_BATCH = 512


@torch.no_grad()
def encoded(model: SavedModel, data: DataSet, seed: int) -> Array:
    """Latents ``(N, size of a latent)`` of every row, with noise keyed by ``seed`` and the row."""
    flow = model.flow
    part, found = part_of(flow, data, np.arange(len(data))), []
    with counted("encoding", len(part)) as advance:
        for z in latent_batches(flow, part, seed):
            found.append(z.flatten(1).cpu().numpy())
            advance(len(z))
    return np.concatenate(found)


@torch.no_grad()
def decoded(model: SavedModel, path: Path, context: Array | None, seed: int) -> tuple[Array, Array | None]:
    """The data ``(N, *event_shape)`` of the latents in a file, and beside them their contexts.

    Raises DataError where the file does not hold latents of this model, or contexts do not match them.
    """
    flow = model.flow
    shape = flow.transform.latent_shape
    data = load(str(path))
    if data.kind != "table" or data.event_shape != (math.prod(shape),):
        raise DataError(f"{path}: latents of {math.prod(shape)} numbers a row expected, got {data.event_shape}")
    beside = None
    if context is not None:
        if len(context) not in (1, len(data)):
            raise DataError(f"one context, or one for each of {len(data)} latents expected, got {len(context)}")
        beside = context if len(context) == len(data) else np.repeat(context, len(data), 0)
    generator, found = torch.Generator(device=flow.device).manual_seed(seed), []
    with counted("decoding", len(data)) as advance:
        for start in range(0, len(data), _BATCH):
            z = torch.as_tensor(data.x[start : start + _BATCH]).to(device=flow.device, dtype=flow.dtype)
            given = None if beside is None else torch.as_tensor(beside[start : start + _BATCH], device=flow.device)
            found.append(flow.data(z.reshape(-1, *shape), given, generator=generator).cpu().numpy())
            advance(len(z))
    return np.concatenate(found), beside
