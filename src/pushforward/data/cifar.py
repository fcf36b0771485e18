"""Readers of CIFAR-10 batches, in the two versions that its publisher distributes.

The "python" version, which torchvision downloads, is a pickle. It is not unpickled here, because that could run any
code in the file. `pickletools` lists its opcodes without executing them, and the reader extracts one string of pixels
and one list of small numbers.
"""

import pickletools
from pathlib import Path
from typing import Any

import numpy as np

from pushforward.data.reading import foreign, read_all
from pushforward.errors import DataError

_PIXELS = 3 * 32 * 32
_TEXTS = ("BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINUNICODE", "SHORT_BINUNICODE")
_COUNTS = ("BININT", "BININT1", "BININT2")
_PASSED = ("EMPTY_LIST", "MARK", "BINPUT", "LONG_BINPUT", "MEMOIZE")


def read_binary_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images `(N, 3, 32, 32)` uint8 and labels `(N,)` from a batch of the binary version: a label and then the pixels.

    Raises: DataError: if its size is not a multiple of the record size.
    """
    content = read_all(path, "a batch of CIFAR-10")
    if len(content) % (_PIXELS + 1):
        raise DataError(
            f"{path}: records of {_PIXELS + 1:,} bytes expected, got {len(content):,} bytes; the file is truncated"
        )
    records = np.frombuffer(content, dtype=np.uint8).reshape(-1, _PIXELS + 1)
    return _checked(path, records[:, 1:], records[:, 0])


def read_python_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images `(N, 3, 32, 32)` uint8 and labels `(N,)` from a batch of the python version, without unpickling it.

    Raises: DataError: if the pixels or labels are not recognised; the message recommends the binary version.
    """
    content = read_all(path, "a batch of CIFAR-10")
    pixels: list[tuple[bool, bytes]] = []
    labels: list[int] = []
    in_labels, before = False, None
    with foreign(path, "a batch of CIFAR-10's python version"):
        argument: Any
        for opcode, argument, _ in pickletools.genops(bytes(content)):
            if opcode.name in _TEXTS:
                raw = argument if isinstance(argument, bytes) else argument.encode("latin-1", "replace")
                # An array's state ends with the flag for Fortran order and the bytes.
                if len(raw) >= _PIXELS and isinstance(before, bool):
                    pixels.append((before, raw))
                in_labels = raw == b"labels"
            elif in_labels and opcode.name in _COUNTS:
                labels.append(argument)
            elif opcode.name not in _PASSED:
                in_labels = False
            before = {"NEWTRUE": True, "NEWFALSE": False}.get(opcode.name, argument)
    if len(pixels) != 1 or len(pixels[0][1]) != _PIXELS * len(labels):
        raise DataError(
            f"{path}: no pixels and labels in the layout of CIFAR-10's python version; use the binary version "
            "(cifar-10-binary.tar.gz from https://www.cs.toronto.edu/~kriz/cifar.html)"
        )
    fortran, raw = pixels[0]
    rows = np.frombuffer(raw, dtype=np.uint8).reshape(len(labels), _PIXELS, order="F" if fortran else "C")
    return _checked(path, rows, np.asarray(labels))


def _checked(path: Path, rows: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if labels.size == 0 or labels.min() < 0 or labels.max() > 9:
        raise DataError(f"{path}: labels from 0 to 9 expected; this is not a batch of CIFAR-10")
    return np.ascontiguousarray(rows).reshape(-1, 3, 32, 32), labels.astype(np.int64)
