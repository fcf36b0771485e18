"""Image grids: many images as one picture."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from pushforward.array_types import Array
from pushforward.errors import ShapeError

if TYPE_CHECKING:
    from PIL.Image import Image

_MARK = (230, 110, 30)
_GAP = (128, 128, 128)


def image_grid(
    images: Array, levels: int = 256, columns: int | None = None, gap: int = 1, marked: Collection[int] = ()
) -> Image:
    """Images ``(N, C, H, W)`` of the integers 0..levels-1 as one picture, row by row, one pixel a pixel.

    One channel is shown in grey, three as red, green and blue; for other numbers only the first channel is shown.
    Values are rounded, clamped to 0..levels-1 and scaled to 0..255; values that are not finite become 0. columns:
    images per row; None makes the picture about square. gap: width of the grey line between two images in pixels.
    marked: indices of images that get a coloured frame in the gap. Raises ShapeError.
    """
    from PIL import Image

    images = np.asarray(images)
    if images.ndim != 4 or 0 in images.shape:
        raise ShapeError(f"images of shape (N, C, H, W) with positive sizes expected, got {images.shape}")
    count, channels, height, width = images.shape
    shown = images if channels == 3 else np.repeat(images[:, :1], 3, 1)
    finite = np.nan_to_num(shown.astype(np.float64), nan=0.0, posinf=levels - 1, neginf=0.0)
    pixels = (
        np.rint(np.clip(np.rint(finite), 0, levels - 1) * (255 / (levels - 1))).astype(np.uint8).transpose(0, 2, 3, 1)
    )
    columns = min(count, columns or math.ceil(math.sqrt(count)))
    rows = math.ceil(count / columns)
    canvas = np.empty((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), np.uint8)
    canvas[:] = _GAP
    for i, image in enumerate(pixels):
        top, left = gap + (i // columns) * (height + gap), gap + (i % columns) * (width + gap)
        if i in marked and gap:
            canvas[top - gap : top + height + gap, left - gap : left + width + gap] = _MARK
        canvas[top : top + height, left : left + width] = image
    return Image.fromarray(canvas)
