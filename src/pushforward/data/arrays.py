"""Arrays in files: NumPy's .npy and .npz, and idx, the format of MNIST's publisher.

Every header is checked against the size of the file before an array is made from it.
"""

import re
import zipfile
from dataclasses import dataclass
from io import BytesIO
from math import prod
from pathlib import Path
from typing import IO

import numpy as np

from pushforward.data.reading import expansion_limit, file_size, foreign, read_all, read_exactly, require_size
from pushforward.errors import DataError

_HEADER_LIMIT = 10_000  # NumPy's limit for a header that can be evaluated safely
_HEADER_LEAST = len("{'descr':'u1','fortran_order':True,'shape':()}")
_MAX_MEMBERS = 1_000
_IMAGE_NAMES = ("x", "images", "data", "arr_0")
_LABEL_NAMES = ("labels", "y")
_IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


@dataclass(frozen=True)
class _Header:
    """The content of an .npy header, and its length in bytes."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype
    length: int

    @property
    def payload(self) -> int:
        return prod(self.shape) * self.dtype.itemsize


def _read_header(file: IO[bytes], where: str) -> _Header:
    start = file.read(12)
    if start[:6] != b"\x93NUMPY" or len(start) < 12:
        raise DataError(f"{where}: not an .npy array (wrong first bytes), or truncated")
    version = (start[6], start[7])
    if version not in ((1, 0), (2, 0)):
        raise DataError(f"{where}: .npy version 1.0 or 2.0 expected, got {version[0]}.{version[1]}")
    width = 2 if version == (1, 0) else 4
    length = int.from_bytes(start[8 : 8 + width], "little")
    if not _HEADER_LEAST <= length <= _HEADER_LIMIT:
        raise DataError(
            f"{where}: its header claims {length:,} bytes, {_HEADER_LEAST} to {_HEADER_LIMIT:,} expected; "
            "the file is damaged"
        )
    text = start[8:] + file.read(length + width - 4)
    with foreign(where, "an .npy array"):
        parse = np.lib.format.read_array_header_1_0 if width == 2 else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = parse(BytesIO(text), max_header_size=_HEADER_LIMIT)
    if dtype.kind not in "biuf" or dtype.itemsize > 16:
        raise DataError(f"{where}: an array of numbers expected, got dtype {str(dtype)[:80]}")
    if not 1 <= len(shape) <= 4:
        raise DataError(f"{where}: an array of 1 to 4 dimensions expected, got {len(shape)}")
    if any(type(size) is not int or not 0 < size < 2**48 for size in shape):
        raise DataError(f"{where}: every dimension must be positive, got shape {shape}")
    return _Header(shape, fortran, dtype, 8 + width + length)


def _to_array(content: bytearray, header: _Header) -> np.ndarray:
    flat = np.frombuffer(content, dtype=header.dtype)
    return flat.reshape(header.shape, order="F" if header.fortran else "C")


def read_npy(path: Path) -> np.ndarray:
    """The array of numbers in an .npy file.

    Raises: DataError: if it is damaged, has values other than numbers, or its header does not match its size.
    """
    size = file_size(path)
    with foreign(path, "an .npy array"), path.open("rb") as file:
        header = _read_header(file, str(path))
        if header.length + header.payload != size:
            raise DataError(
                f"{path}: its header declares shape {header.shape} of {header.dtype}, {header.payload:,} bytes, but "
                f"{size - header.length:,} follow; the file is truncated or damaged"
            )
        return _to_array(read_exactly(file, header.payload), header)


def read_npz(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """The data in an .npz file and, if it has any, its class labels.

    The data are the only array, or the one named `x`, `images`, `data` or `arr_0` (the first of these that is there);
    labels are integers, one per row, in an array named `labels` or `y`.

    Raises: DataError: if it is damaged, the array of the data cannot be identified, or a declared size is wrong.
    """
    file_size(path)
    with foreign(path, "an .npz archive"), zipfile.ZipFile(path) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        if len(members) > _MAX_MEMBERS:
            raise DataError(f"{path}: {len(members):,} arrays in it, at most {_MAX_MEMBERS:,} are expected")
        x = _read_member(archive, members[_choose_data(path, list(members))], path)
        for name in _LABEL_NAMES:
            if name in members and len(members) > 1:
                labels = _read_member(archive, members[name], path)
                if labels.shape == (len(x),) and labels.dtype.kind in "iu":
                    return x, labels.astype(np.int64)
        return x, None


def _choose_data(path: Path, names: list[str]) -> str:
    if not names:
        raise DataError(f"{path}: no arrays in it")
    data = [name for name in names if name not in _LABEL_NAMES]
    if len(names) == 1 or len(data) == 1:
        return (data or names)[0]
    for name in _IMAGE_NAMES:
        if name in names:
            return name
    listed = ", ".join(repr(name) for name in names[:10])
    raise DataError(f"{path}: several arrays, and none has a name for the data; name it 'x'. The arrays are {listed}")


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> np.ndarray:
    where = f"{path} ({info.filename[:80]})"
    if info.file_size > expansion_limit(info.compress_size):
        raise DataError(
            f"{where}: {info.compress_size:,} compressed bytes declare a size of {info.file_size:,}, "
            "which is implausible for data"
        )
    with archive.open(info) as file:
        header = _read_header(file, where)
        if header.length + header.payload != info.file_size:
            raise DataError(
                f"{where}: its header declares shape {header.shape} of {header.dtype}, {header.payload:,} bytes, but "
                f"the archive has {info.file_size - header.length:,}"
            )
        content = read_exactly(file, header.payload)
        # zipfile compares the checksum only when the end is read.
        if len(content) != header.payload or file.read(1):
            raise DataError(f"{where}: {header.payload:,} bytes expected, got {len(content):,}; the file is damaged")
        return _to_array(content, header)


def looks_like_idx(path: Path) -> bool:
    """Whether a file has the name of an idx file: `train-images-idx3-ubyte`, `t10k-images.idx3-ubyte.gz`, `a.idx`."""
    return re.search(r"(idx\d-[a-z]+|\.idx\d?)(\.gz)?$", path.name.lower()) is not None


def read_idx(path: Path) -> np.ndarray:
    """The array in an idx file, gzipped or not.

    Raises: DataError: if it is damaged, or its header does not match its size.
    """
    content = read_all(path, "an idx file")
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _IDX_TYPES:
        raise DataError(f"{path}: not an idx file (wrong first bytes), or truncated")
    dtype, rank = np.dtype(_IDX_TYPES[content[2]]), content[3]
    start = 4 + 4 * rank
    if not 1 <= rank <= 4 or len(content) < start:
        raise DataError(f"{path}: an idx file of 1 to 4 dimensions expected, got {rank}, or its header is truncated")
    shape = tuple(int(size) for size in np.frombuffer(content, dtype=">u4", count=rank, offset=4))
    declared = prod(shape) * dtype.itemsize
    if declared != len(content) - start or declared == 0:
        raise DataError(
            f"{path}: its header declares shape {shape}, {declared:,} bytes, but {len(content) - start:,} follow; "
            "the file is truncated, empty or damaged"
        )
    return np.frombuffer(content, dtype=dtype, offset=start).reshape(shape)


def as_images(array: np.ndarray, where: str) -> np.ndarray:
    """Images `(N, C, H, W)` uint8 from `(N, H, W)`, `(N, C, H, W)` or `(N, H, W, C)` with one or three channels.

    Raises: DataError: if values are not integers in 0..255, or the axis of the channels is ambiguous.
    """
    require_size(where, array.size)
    if array.dtype != np.uint8:
        # Row by row, because comparisons of a large float array would need several times its memory.
        for row, image in enumerate(array):
            if not ((image >= 0) & (image <= 255) & (image == np.floor(image))).all():
                raise DataError(
                    f"{where}: images must have integers from 0 to 255, but image {row} has values from {image.min()} "
                    f"to {image.max()}; rescale and round the values, or save them as a table of shape (N, D)"
                )
        array = array.astype(np.uint8)
    if array.ndim == 3:
        return array[:, None]
    first, last = array.shape[1] in (1, 3), array.shape[3] in (1, 3)
    if first == last:
        raise DataError(
            f"{where}: shape {array.shape} has no unique channel axis; (N, C, H, W) or (N, H, W, C) with 1 or 3 "
            "channels expected"
        )
    return array if first else np.ascontiguousarray(array.transpose(0, 3, 1, 2))
