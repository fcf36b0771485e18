"""Output of sampled or decoded events: images as a picture or an array, tables with their column names."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import numpy as np

from pushforward.array_types import Array
from pushforward.atomic_files import write_atomically
from pushforward.cli.output import open_table, require_output, write_array
from pushforward.errors import OptionError
from pushforward.storage import SavedModel

# The smallest size of an image in a picture, in pixels of the screen.
_LEAST_SIDE = 64

# Writes a block of events ``(N, *event_shape)`` with their contexts.
WriteEvents: TypeAlias = Callable[[Array, "Array | None"], object]

_ENDINGS = (".png", ".npy", ".csv", ".parquet", ".jsonl")


def require_event_output(model: SavedModel, out: Path | None, force: bool) -> None:
    """Raise OptionError unless events of this model can be written to ``out`` (None: CSV to stdout)."""
    image = len(model.flow.event_shape) == 3
    if out is None and image:
        raise OptionError("images need an output file: --out NAME.png for a picture, NAME.npy for numbers")
    if out is not None and out.suffix.lower() == ".png" and not image:
        raise OptionError(f"{out}: this model produces rows, not images; choose .csv, .parquet, .npy or .jsonl")
    require_output(out, _ENDINGS if image else _ENDINGS[1:], force)


def write_events(
    model: SavedModel, x: Array, out: Path | None, context: Array | None = None, columns: int | None = None
) -> None:
    """Write events ``x: (N, *event_shape)``; a table also gets columns for ``context: (N, K)`` or labels (N,).

    columns: images per row of a .png; None: an approximately square picture.
    """
    with open_events(model, out, columns) as write:
        write(x, context)


def holds_events(out: Path) -> bool:
    """Whether a file of this name is written from all events at once, which are then held in memory."""
    return out.suffix.lower() in (".png", ".npy")


@contextmanager
def open_events(model: SavedModel, out: Path | None, columns: int | None = None) -> Iterator[WriteEvents]:
    """A context with a function that writes blocks of events as `write_events`; pictures and .npy hold them all."""
    if out is not None and holds_events(out):
        blocks: list[Array] = []
        yield lambda x, context: blocks.append(x)
        x = np.concatenate(blocks)
        if out.suffix.lower() == ".png":
            write_picture(model, x, out, columns)
        else:
            write_array(_numbers(model, x), out)
        return
    with open_table(out) as write:
        yield lambda x, context: write(_table(model, x, context))


def _table(model: SavedModel, x: Array, context: Array | None) -> dict[str, Array]:
    """The columns of events and of their contexts."""
    table = dict(zip(model.event_names, _numbers(model, x).reshape(len(x), -1).T, strict=True))
    if context is not None:
        table |= dict(zip(model.context_names, context.reshape(len(x), -1).T, strict=True))
    return table


def write_picture(model: SavedModel, x: Array, out: Path, columns: int | None = None) -> None:
    """Write images ``x: (N, C, H, W)`` as one picture, a grid of them."""
    from PIL.Image import Resampling

    from pushforward.data.image_grid import image_grid

    levels = levels_of(model)
    buffer = io.BytesIO()
    # Images of a model without levels are assumed to be in [0, 1].
    picture = image_grid(x if levels else 255 * x, levels=levels or 256, columns=columns)
    # Small images are enlarged, because 8 x 8 pixels of a screen are too small to see.
    size = max(1, _LEAST_SIDE // max(x.shape[2:]))
    picture.resize((size * picture.width, size * picture.height), Resampling.NEAREST).save(buffer, "PNG")
    write_atomically(out, buffer.getvalue())


def levels_of(model: SavedModel) -> int | None:
    """The number of integer levels of the data, None for data on the real line."""
    domain = model.flow.transform.domain
    return int(domain.high) + 1 if domain.kind == "integers" else None


def _numbers(model: SavedModel, x: Array) -> Array:
    """Integer data of at most 256 levels as bytes; other data unchanged."""
    levels = levels_of(model)
    if levels is None:
        return x
    return x.astype(np.uint8 if levels <= 256 else np.int64)
