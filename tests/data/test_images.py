import struct
import subprocess
import sys
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pushforward.data import load
from pushforward.data.images import prepare_array
from pushforward.errors import DataError, OptionError
from pushforward.preparation import Preparation

_RNG = np.random.default_rng(0)


def _pixels(height: int = 6, width: int = 6, channels: int = 3) -> np.ndarray:
    shape = (height, width) if channels == 1 else (height, width, channels)
    return _RNG.integers(0, 256, shape).astype(np.uint8)


def _save(path: Path, pixels: np.ndarray, **options: object) -> np.ndarray:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return pixels


def test_folder_of_colour_images_is_read_in_the_order_of_names(tmp_path):
    second, first = _save(tmp_path / "b.png", _pixels()), _save(tmp_path / "a.bmp", _pixels())
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / ".hidden.png").write_text("not an image")
    data = load(str(tmp_path))
    assert data.x.shape == (2, 3, 6, 6)
    assert (data.x[0] == first.transpose(2, 0, 1)).all()
    assert (data.x[1] == second.transpose(2, 0, 1)).all()
    assert data.levels == 256
    assert data.labels is None
    assert data.x.flags.writeable


def test_sub_folders_are_classes(tmp_path):
    for name in ("cat/1.png", "cat/2.png", "dog/1.png"):
        _save(tmp_path / name, _pixels(channels=1))
    data = load(str(tmp_path))
    assert data.labels.tolist() == [0, 0, 1]
    assert load(str(tmp_path), limit=2, seed=1).x.shape == (2, 1, 6, 6)


def test_a_single_image_is_a_data_set_of_one(tmp_path):
    pixels = _save(tmp_path / "a.png", _pixels(4, 5, 1))
    assert (load(str(tmp_path / "a.png")).x == pixels[None, None]).all()


def test_grey_images_among_colour_ones_become_colour(tmp_path):
    grey = _save(tmp_path / "a.png", _pixels(channels=1))
    _save(tmp_path / "b.png", _pixels())
    data = load(str(tmp_path))
    assert (data.x[0] == grey).all()
    assert data.x.shape == (2, 3, 6, 6)
    assert load(str(tmp_path), grey=True).x.shape == (2, 1, 6, 6)


def test_palettes_and_two_tone_images_are_read(tmp_path):
    pixels = np.where(_pixels(channels=1)[..., None] > 127, [255, 0, 0], [0, 0, 255]).astype(np.uint8)
    Image.fromarray(pixels).quantize(4).save(tmp_path / "a.png")
    assert (load(str(tmp_path / "a.png")).x[0] == pixels.transpose(2, 0, 1)).all()
    Image.fromarray(pixels[..., 0]).convert("1").save(tmp_path / "b.png")
    data = load(str(tmp_path / "b.png"))
    assert (data.x[0, 0] == pixels[..., 0]).all()
    assert data.levels == 256


def test_transparent_pixels_show_white(tmp_path):
    pixels = _pixels(channels=4)
    pixels[..., 3] = 255
    pixels[0, 0, 3] = 0
    _save(tmp_path / "a.png", pixels)
    x = load(str(tmp_path / "a.png")).x[0]
    assert x[:, 0, 0].tolist() == [255, 255, 255]
    assert (x[:, 1:] == pixels[1:, :, :3].transpose(2, 0, 1)).all()


def test_photographs_are_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.zeros((4, 8, 3), np.uint8)
    _save(tmp_path / "a.png", pixels, exif=exif)
    assert load(str(tmp_path / "a.png")).x.shape == (1, 3, 8, 4)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_more_than_eight_bits_are_refused(tmp_path, dtype):
    Image.fromarray(np.zeros((4, 4), dtype)).save(tmp_path / "a.tiff")
    with pytest.raises(DataError, match=r"a\.tiff: 8 bits per channel expected"):
        load(str(tmp_path))


def test_animations_are_refused(tmp_path):
    frames = [Image.fromarray(_pixels(channels=1)) for _ in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match="several frames"):
        load(str(tmp_path))


def test_images_of_different_sizes_are_named_with_both_sizes(tmp_path):
    _save(tmp_path / "a.png", _pixels(6, 6))
    _save(tmp_path / "b.png", _pixels(6, 7))
    with pytest.raises(DataError, match=r"b\.png: 6 x 7 pixels.* a\.png has 6 x 6.*--resize"):
        load(str(tmp_path))
    assert load(str(tmp_path), resize=4).x.shape == (2, 3, 4, 4)
    assert load(str(tmp_path), crop=(0, 6, 0, 6)).x.shape == (2, 3, 6, 6)


def test_crop_is_top_bottom_left_right(tmp_path):
    pixels = _save(tmp_path / "a.png", _pixels(8, 9))
    x = load(str(tmp_path / "a.png"), crop=(1, 5, 2, 8)).x[0]
    assert (x == pixels[1:5, 2:8].transpose(2, 0, 1)).all()
    with pytest.raises(DataError, match="reach beyond the image of 8 x 9"):
        load(str(tmp_path / "a.png"), crop=(0, 9, 0, 9))


def test_halving_averages_and_rounds_to_whole_numbers():
    x = np.zeros((1, 1, 8, 8), np.uint8)
    x[..., ::2] = 11
    inner = prepare_array(x, Preparation(resize=4), "x")[0, 0, :, 1:-1]
    assert inner.dtype == np.uint8
    assert set(inner.reshape(-1).tolist()) <= {5, 6}


def test_resizing_takes_the_centre_square_and_stays_in_range():
    x = np.zeros((2, 3, 4, 8), np.uint8)
    x[..., 2:6] = 16
    assert (prepare_array(x, Preparation(resize=2), "x") == 16).all()
    noise = (_RNG.integers(0, 2, (20, 1, 8, 8)) * 16).astype(np.uint8)
    assert prepare_array(noise, Preparation(resize=5), "x").max() <= 16
    assert prepare_array(noise, Preparation(resize=20), "x").max() <= 16


def test_grey_is_luma_the_same_from_arrays_and_from_files(tmp_path):
    pixels = _save(tmp_path / "a.png", _pixels(5, 7))
    from_file = load(str(tmp_path / "a.png"), grey=True, crop=(0, 4, 1, 6), resize=3).x
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1))[None]
    from_array = prepare_array(planes, Preparation(crop=(0, 4, 1, 6), resize=3, grey=True), "x")
    assert (from_file == from_array).all()
    luma = (pixels * np.array([0.299, 0.587, 0.114])).sum(-1)
    assert np.abs(prepare_array(planes, Preparation(grey=True), "x")[0, 0] - luma).max() <= 1


def test_nothing_to_prepare_leaves_the_array_alone():
    x = np.zeros((2, 1, 4, 4), np.uint8)
    assert prepare_array(x, Preparation(), "x") is x


@pytest.mark.parametrize("crop", [(2, 2, 0, 4), (0, 4, 3, 1), (-1, 4, 0, 4)])
def test_empty_crops_are_refused(crop):
    with pytest.raises(OptionError, match="crop"):
        Preparation(crop=crop)


@pytest.mark.parametrize("resize", [0, -3, 10**9])
def test_sizes_out_of_range_are_refused(resize):
    with pytest.raises(OptionError, match="resize"):
        Preparation(resize=resize)


def test_folder_without_images_is_refused(tmp_path):
    (tmp_path / "sub").mkdir()
    with pytest.raises(DataError, match="no images in the folder"):
        load(str(tmp_path))


def _png_header(width: int, height: int) -> bytes:
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


def test_small_file_that_claims_a_large_image_is_refused_before_it_is_decoded(tmp_path):
    Image.fromarray(np.zeros((4200, 4200), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="declare 4200 x 4200 pixels"):
        load(str(tmp_path / "a.png"))


def test_what_pillow_logs_is_not_printed_beside_the_error(tmp_path):
    content = bytearray(_saved_tiff())
    at = content.index(struct.pack("<HHI", 277, 3, 1))
    content[at + 8 : at + 10] = b"\xff\xff"
    (tmp_path / "a.tiff").write_bytes(content)
    code = f"import pushforward.data as d; d.load({str(tmp_path / 'a.tiff')!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "More samples" not in done.stderr
    assert "DataError" in done.stderr.splitlines()[-1]


def _saved_tiff() -> bytes:
    file = BytesIO()
    Image.fromarray(_pixels()).save(file, "tiff")
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not an image",
        _png_header(8, 8),
        _png_header(5_000, 5_000),
        _png_header(10_000, 10_000),
        _png_header(2**31 - 1, 2**31 - 1),
        _png_header(0, 0),
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n",
    ],
)
def test_hostile_image_is_one_sentence(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.png"):
        load(str(tmp_path))


def _png(bits: int, colour: int, samples: int) -> bytes:
    """A picture of 4 x 4 pixels with the header that is asked for: Pillow writes no colours of 16 bits."""
    rows = b"".join(b"\0" + bytes(range(4 * samples * bits // 8)) for _ in range(4))

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 4, 4, bits, colour, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def _tiff(bits: int, samples: int) -> bytes:
    entries, at = [], 8 + 2 + 9 * 12 + 4
    depths = struct.pack(f"<{samples}H", *[bits] * samples)
    size, colour = 16 * samples * bits // 8, 1 if samples == 1 else 2
    values = (4, 4, bits if samples == 1 else at, 1, colour, at + len(depths), samples, 4, size)
    for tag, value in zip((256, 257, 258, 259, 262, 273, 277, 278, 279), values, strict=True):
        entries.append(
            struct.pack("<HHII", tag, 3 if tag < 273 or tag == 277 else 4, samples if tag == 258 else 1, value)
        )
    head = b"II*\0" + struct.pack("<IH", 8, 9) + b"".join(entries) + struct.pack("<I", 0)
    return head + depths + bytes(i % 256 for i in range(size))


DEEP = {
    "grey.png": _png(16, 0, 1),
    "grey_alpha.png": _png(16, 4, 2),
    "rgb.png": _png(16, 2, 3),
    "rgba.png": _png(16, 6, 4),
    "grey.tif": _tiff(16, 1),
    "rgb.tif": _tiff(16, 3),
    "rgba.tif": _tiff(16, 4),
    "rgb.ppm": b"P6 4 4 65535\n" + bytes(96),
    "rgb10.ppm": b"P6 4 4 1023\n" + bytes(96),
    "grey.pgm": b"P5 4 4 65535\n" + bytes(32),
    "plain.ppm": b"P3 4 4 65535\n" + b"9 " * 48,
}


@pytest.mark.parametrize("name", DEEP)
def test_the_depth_of_the_file_and_not_of_pillow_is_judged(tmp_path, name):
    (tmp_path / name).write_bytes(DEEP[name])
    with pytest.raises(DataError, match=rf"{name}: 8 bits per channel expected, the file has 1[06] bits"):
        load(str(tmp_path / name))


@pytest.mark.parametrize(
    ("name", "content", "channels"),
    [
        ("a.png", _png(8, 2, 3), 3),
        ("b.png", _png(8, 0, 1), 1),
        ("c.tif", _tiff(8, 3), 3),
        ("d.tif", _tiff(8, 1), 1),
        ("e.ppm", b"P6 4 4 255\n" + bytes(48), 3),
        ("f.ppm", b"P6 4 4 100\n" + bytes(48), 3),
        ("g.pgm", b"P5 4 4 15\n" + bytes(16), 1),
    ],
)
def test_files_of_at_most_eight_bits_are_read(tmp_path, name, content, channels):
    (tmp_path / name).write_bytes(content)
    assert load(str(tmp_path / name)).x.shape == (1, channels, 4, 4)
