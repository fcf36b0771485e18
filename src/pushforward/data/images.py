"""Images in files, through Pillow, and their preparation: crop, resize, grey.

Images are resized with an anti-aliasing triangle filter, which never leaves the range of the pixels.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pushforward.data.reading import file_size, foreign, require_size
from pushforward.errors import DataError
from pushforward.preparation import Preparation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL.Image import Image


IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm", ".pnm")
# Pillow tries only these formats: some of its other readers start external programs (EPS) or are seldom used.
_FORMATS = ("PNG", "JPEG", "BMP", "DIB", "GIF", "TIFF", "WEBP", "PPM")
_GREY_MODES = ("1", "L", "LA")
_COLOUR_MODES = ("P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")
_ORIENTATION = 0x0112
_BITS_PER_SAMPLE = 258
_PIXELS_ALWAYS_ALLOWED = 1 << 24


def prepared_size(preparation: Preparation, height: int, width: int, where: str) -> tuple[int, int]:
    """Height and width of an image of ``height`` x ``width`` after preparation.

    Raises DataError if the crop reaches beyond the image.
    """
    if preparation.crop is not None:
        top, bottom, left, right = preparation.crop
        if bottom > height or right > width:
            raise DataError(
                f"{where}: crop rows {top} to {bottom} and columns {left} to {right} reach beyond the image of "
                f"{height} x {width} pixels (height x width)"
            )
        height, width = bottom - top, right - left
    return (height, width) if preparation.resize is None else (preparation.resize, preparation.resize)


def prepare_image(preparation: Preparation, image: Image) -> Image:
    """``image`` (mode L or RGB), cropped and resized, then turned grey."""
    from PIL.Image import Resampling

    side = preparation.resize
    if preparation.crop is not None:
        top, bottom, left, right = preparation.crop
        image = image.crop((left, top, right, bottom))
    if side is not None and image.size != (side, side):
        width, height = image.size
        square = min(width, height)
        x, y = (width - square) // 2, (height - square) // 2
        # Not resize(box=...), because its filter uses pixels outside the box.
        image = image.crop((x, y, x + square, y + square)).resize((side, side), Resampling.BILINEAR)
    return _in_mode(image, "L") if preparation.grey else image


def prepare_array(x: np.ndarray, preparation: Preparation, where: str) -> np.ndarray:
    """Images `(N, C, H, W)` uint8, C one or three, prepared: `(N, C', H', W')` uint8."""
    if not preparation.changes_pixels:
        return x
    from PIL import Image

    height, width = prepared_size(preparation, x.shape[2], x.shape[3], where)
    channels = 1 if preparation.grey else x.shape[1]
    require_size(where, len(x) * channels * height * width)
    result = np.empty((len(x), channels, height, width), dtype=np.uint8)
    for row, image in enumerate(x):
        planes = image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0))
        result[row] = _to_planes(prepare_image(preparation, Image.fromarray(planes)))
    return result


def find_images(folder: Path) -> tuple[list[Path], np.ndarray | None]:
    """The image files of a folder, sorted by name, or those of its sub-folders with a class label for each folder.

    Raises: DataError: if there are no images, or the folder cannot be read.
    """

    def images(place: Path) -> list[Path]:
        return sorted(p for p in place.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith("."))

    try:
        if direct := images(folder):
            return direct, None
        classes = [found for sub in sorted(folder.iterdir()) if sub.is_dir() and (found := images(sub))]
    except OSError as error:
        raise DataError(f"{folder}: the folder cannot be read ({error})") from error
    if not classes:
        endings = ", ".join(IMAGE_SUFFIXES)
        raise DataError(f"{folder}: no images in the folder or its sub-folders, that is, no files ending in {endings}")
    labels = np.repeat(np.arange(len(classes)), [len(found) for found in classes])
    return [path for found in classes for path in found], labels


def read_images(paths: Sequence[Path], preparation: Preparation) -> np.ndarray:
    """The images in `paths`: `(N, C, H, W)` uint8, grey if all of them are, otherwise RGB.

    Palettes and other colour spaces become RGB, transparent pixels get a white background, and photographs are rotated
    by their EXIF orientation. Headers are read first: no image is decoded before all sizes are known to agree.

    Raises: DataError: if a file is damaged, has more than 8 bits per channel or several frames, or sizes differ.
    """
    shapes = []
    for path in paths:
        with _opened(path) as image:
            shapes.append((*prepared_size(preparation, *_upright_size(image), str(path)), image.mode in _GREY_MODES))
    height, width, _ = shapes[0]
    for path, (h, w, _) in zip(paths, shapes, strict=True):
        if (h, w) != (height, width):
            raise DataError(
                f"{path}: {h} x {w} pixels (height x width), but {paths[0].name} has {height} x {width}; all images "
                "must have one size: use --resize N, or --crop"
            )
    mode = "L" if preparation.grey or all(grey for *_, grey in shapes) else "RGB"
    channels = len(mode)
    require_size(str(paths[0].parent), len(paths) * channels * height * width)
    result = np.empty((len(paths), 1 if mode == "L" else 3, height, width), dtype=np.uint8)
    for row, path in enumerate(paths):
        with _opened(path) as image:
            result[row] = _to_planes(_in_mode(prepare_image(preparation, _flatten(image)), mode))
    return result


@contextmanager
def _opened(path: Path) -> Iterator[Image]:
    """An open image with a valid header; errors of Pillow inside, also from decoding, name the file."""
    from PIL import Image

    size = file_size(path)
    # Pillow also logs the errors that it raises; without a handler, logging would print them next to ours.
    logger = logging.getLogger("PIL")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    with foreign(path, "an image"):
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(path, formats=_FORMATS) as image:
            if image.width * image.height > max(_PIXELS_ALWAYS_ALLOWED, 64 * size):
                raise DataError(
                    f"{path}: {size:,} bytes declare {image.width} x {image.height} pixels, "
                    "which is implausible for an image"
                )
            bits = _stored_bits(image)
            if bits > 8 or image.mode not in _GREY_MODES + _COLOUR_MODES:
                stored = f"{bits} bits" if bits > 8 else f"an image of Pillow's mode {image.mode!r}"
                raise DataError(
                    f"{path}: 8 bits per channel expected, the file has {stored}; convert it to 8 bits, or save the "
                    "numbers as an .npy table"
                )
            if getattr(image, "n_frames", 1) != 1:
                raise DataError(f"{path}: a single image expected, but the file has several frames; extract one")
            yield image


def _stored_bits(image: Image) -> int:
    """Bits per channel in the file: Pillow opens 16-bit colours in an 8-bit mode and drops the lower half.

    Its other formats have at most 8 bits.
    """
    if image.format == "TIFF":
        tags: Any = image
        return int(max(tags.tag_v2.get(_BITS_PER_SAMPLE, (1,))))
    # The layout of the pixels, such as "RGB;16B"; for PPM only, with the largest value: ("RGB", 65535).
    layouts = [tile[3] for tile in getattr(image, "tile", ())]
    largest = [arguments[1] for arguments in layouts if image.format == "PPM" and isinstance(arguments, tuple)]
    if largest:
        return int(max(largest)).bit_length()
    return 16 if any(isinstance(layout, str) and ";16" in layout for layout in layouts) else 8


def _upright_size(image: Image) -> tuple[int, int]:
    """Height and width after the EXIF orientation is applied."""
    width, height = image.size
    return (width, height) if image.getexif().get(_ORIENTATION) in (5, 6, 7, 8) else (height, width)


def _flatten(image: Image) -> Image:
    """The upright image in mode L or RGB, with a white background for transparent pixels."""
    from PIL import Image, ImageOps

    turned = image.getexif().get(_ORIENTATION, 1) != 1
    upright: Any = ImageOps.exif_transpose(image) if turned else image
    if upright.mode in ("PA", "LA", "RGBA") or "transparency" in upright.info:
        upright = upright.convert("RGBA")
        white = Image.new("RGBA", upright.size, (255, 255, 255, 255))
        upright = Image.alpha_composite(white, upright)
    return _in_mode(upright, "L" if image.mode in _GREY_MODES else "RGB")


def _in_mode(image: Image, mode: str) -> Image:
    """`image` converted to `mode`, without a copy if it already has that mode."""
    return image if image.mode == mode else image.convert(mode)


def _to_planes(image: Image) -> np.ndarray:
    """`(C, H, W)` from an image of mode L or RGB."""
    pixels = np.asarray(image)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
