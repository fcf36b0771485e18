"""Encoding and decoding for `pushforward encode` and `pushforward decode`."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch

from pushforward.array_types import Array
from pushforward.cli.progress import show_progress
from pushforward.data import DataSet, load
from pushforward.data.header import read_header
from pushforward.errors import DataError
from pushforward.rows import Rows, row_latents, rows_of
from pushforward.storage import SavedModel


def encode_data(model: SavedModel, data: DataSet, seed: int) -> Array:
    """Latents ``(N, size of a latent)`` of every row, with noise keyed by ``seed`` and the row."""
    flow = model.flow
    rows, latents = rows_of(flow, data, np.arange(len(data))), []
    with show_progress("encoding", len(rows)) as advance:
        for z in row_latents(flow, rows, seed):
            latents.append(z.flatten(1).cpu().numpy())
            advance(len(z))
    return np.concatenate(latents)


@torch.no_grad()
def decode_file(model: SavedModel, path: Path, context: Array | None, seed: int) -> tuple[Array, Array | None]:
    """Decode the latents in a file: the data ``(N, *event_shape)`` and their contexts.

    Raises DataError if the file does not have latents of this model, or contexts do not match them.
    """
    flow = model.flow
    shape = flow.transform.latent_shape
    header = read_header(str(path))
    data = load(str(path), columns=None if header is None else header.names)
    if data.kind != "table" or data.event_shape != (math.prod(shape),):
        raise DataError(f"{path}: latents of {math.prod(shape)} numbers per row expected, got {data.event_shape}")
    beside = None
    if context is not None:
        if len(context) not in (1, len(data)):
            raise DataError(f"one context, or one for each of {len(data)} latents expected, got {len(context)}")
        beside = context if len(context) == len(data) else np.repeat(context, len(data), 0)
    rows = Rows(torch.as_tensor(data.x), None if beside is None else torch.as_tensor(beside))
    generator, events = torch.Generator(device=flow.device).manual_seed(seed), []
    with show_progress("decoding", len(rows)) as advance:
        for _, z, contexts in rows.batches(flow):
            events.append(flow.decode(z.reshape(-1, *shape), contexts, generator=generator).cpu().numpy())
            advance(len(z))
    return np.concatenate(events), beside
