"""Safe reading of files: regular files only, and never more memory than the size of the file justifies."""

import gzip
import io
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from typing_extensions import Buffer

from pushforward.errors import DataError, PushforwardError

MAX_BYTES = 8 << 30
"""No data set larger than this is read into memory."""

_PIECE = 1 << 20
_ALWAYS_ALLOWED = 256 << 20
_EXPANSION = 256


_T = TypeVar("_T")


class Readable(Protocol):
    """A binary stream."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, none at the end."""
        ...


@contextmanager
def foreign(path: Path | str, form: str) -> Iterator[None]:
    """Context manager that turns any error of a parser into one DataError that names the file.

    Parsers of hostile input raise almost any exception (struct.error, KeyError, RecursionError, OverflowError, ...).
    The except clause is therefore broad: keep the block small.
    """
    try:
        with warnings.catch_warnings():
            # Warnings of a parser (Python 2 headers, odd metadata) do not concern the user.
            warnings.simplefilter("ignore")
            yield
    except PushforwardError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise DataError(f"{path}: cannot be read as {form}; it is damaged or has another format ({reason})") from error


def foreign_items(items: Iterator[_T], path: Path | str, form: str) -> Iterator[_T]:
    """Iterator over the items of a parser, each made in `foreign`; the consumer's warnings and errors are its own."""
    end: Any = object()
    while True:
        with foreign(path, form):
            item = next(items, end)
        if item is end:
            return
        yield item


@contextmanager
def naming(where: object) -> Iterator[None]:
    """Context manager in which a DataError about the content of a file names the file."""
    try:
        yield
    except DataError as error:
        raise type(error)(f"{where}: {error}") from error


def file_size(path: Path, *, in_blocks: bool = False) -> int:
    """Size in bytes of the regular file `path`.

    Raises:
        DataError: if it is missing, not a regular file, empty, or, unless it is read in blocks, larger than
            `MAX_BYTES`.
    """
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: no such file, or it cannot be opened ({error})") from error
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{path}: a file expected, but it is a folder or a device")
    if status.st_size == 0:
        raise DataError(f"{path}: the file is empty")
    return status.st_size if in_blocks else require_size(path, status.st_size)


def require_size(path: Path | str, size: int) -> int:
    """`size`, if it is at most `MAX_BYTES`."""
    if size > MAX_BYTES:
        raise DataError(
            f"{path}: {size / 2**30:,.1f} GiB of data, at most {MAX_BYTES >> 30} GiB are read into memory; "
            "use a part of the rows"
        )
    return size


def expansion_limit(compressed: int) -> int:
    """The largest size to which `compressed` bytes may expand: 256 times as much, or 256 MiB if that is more.

    Deflate reaches a factor of 1,032 on constant data; real data stay far below 256.
    """
    return min(MAX_BYTES, max(_ALWAYS_ALLOWED, _EXPANSION * compressed))


def is_gzip(path: Path) -> bool:
    """Whether the file starts with the bytes of a gzip stream."""
    with foreign(path, "a file"), path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


class _Unpacked(io.RawIOBase):
    """The content of a gzip file, up to a limit: a small file may unpack to more than any memory."""

    def __init__(self, path: Path, limit: int) -> None:
        self._path, self._limit, self._count = path, limit, 0
        self._file = gzip.open(path)  # noqa: SIM115 - closed with this stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer, /) -> int:
        view = memoryview(buffer)
        piece = self._file.read(len(view))
        self._count += len(piece)
        if self._count > self._limit:
            raise DataError(_implausible(self._path, self._limit))
        view[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        self._file.close()
        super().close()


def open_unpacked(path: Path, size: int, *, in_blocks: bool = False) -> io.BufferedReader:
    """A file of ``size`` bytes as a stream, unpacked if it is gzip, up to the limit of `expansion_limit`."""
    if not is_gzip(path):
        return path.open("rb")
    limit = max(_ALWAYS_ALLOWED, _EXPANSION * size) if in_blocks else expansion_limit(size)
    return io.BufferedReader(_Unpacked(path, limit), _PIECE)


def _implausible(path: Path, limit: int) -> str:
    return (
        f"{path}: {path.stat().st_size:,} compressed bytes expand to more than {limit:,}, "
        "which is implausible for data; unpack the file yourself"
    )


def read_exactly(file: Readable, size: int) -> bytearray:
    """`size` bytes, or fewer at the end of the stream; memory grows with the bytes read, not with `size`."""
    buffer = bytearray()
    while len(buffer) < size:
        piece = file.read(min(_PIECE, size - len(buffer)))
        if not piece:
            break
        buffer += piece
    return buffer


def read_all(path: Path, form: str) -> bytearray:
    """The whole file, unpacked if it is gzip.

    Raises:
        DataError: if it is missing, empty, damaged, or expands beyond `expansion_limit`.
    """
    size = file_size(path)
    if not is_gzip(path):
        with foreign(path, form), path.open("rb") as file:
            return read_exactly(file, size)
    limit = expansion_limit(size)
    with foreign(path, form), gzip.open(path) as unpacked:
        content = read_exactly(unpacked, limit + 1)
    if len(content) > limit:
        raise DataError(_implausible(path, limit))
    if not content:
        raise DataError(f"{path}: the file is empty")
    return content
