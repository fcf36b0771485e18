"""Loading of a data set by name or path; every option is applied or raises an error."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pushforward.data import toys
from pushforward.data.arrays import as_images, looks_like_idx, read_idx, read_npy, read_npz
from pushforward.data.columns import choose, finish, from_matrix
from pushforward.data.dataset import DataSet, image_set, subset
from pushforward.data.images import IMAGE_SUFFIXES, find_images, prepare_array, read_images
from pushforward.data.named import NAMES, load_named
from pushforward.data.reading import require_size
from pushforward.data.tables import read_csv, read_parquet
from pushforward.error_messages import did_you_mean
from pushforward.errors import DataError, OptionError
from pushforward.preparation import Preparation

_TOY_ROWS = 10_000
_TEXT_SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
_SUFFIXES = (".npy", ".npz", ".parquet", *_TEXT_SUFFIXES, *IMAGE_SUFFIXES)


def load(
    name: str,
    preparation: Preparation | None = None,
    *,
    data_dir: Path | None = None,
    seed: int = 0,
    **options: Any,
) -> DataSet:
    """Load a named data set (see `names`), a file, or a folder of images.

    The ending of a file name selects the reader: .npy, .npz, idx names as MNIST's publisher uses them, .csv and .tsv
    (also with .gz), .parquet, and single images. Arrays of one or two dimensions are tables, of three or four images.
    Columns of a table that only number its rows, like the index of a DataFrame, are excluded unless they are chosen by
    name; `DataSet.left_out` has their names.

    preparation: the choice of rows and columns, and the preparation of images; or its fields as ``options``. data_dir:
    the folder of the named data; default: the environment variable PUSHFORWARD_DATA. seed: for the random choice of
    ``limit`` rows and for toys, which have ``limit`` points (default 10,000).

    Raises DataError if the data cannot be found or read, or do not match an option; OptionError if an option is
    unknown, out of range, or not for this kind of data.

    >>> from pushforward import data
    >>> moons = data.load("two-moons", limit=500)
    >>> moons.x.shape, moons.columns
    ((500, 2), ('x', 'y'))
    """
    if preparation is None:
        preparation = Preparation.of(options)
    elif options:
        raise OptionError(f"a preparation and {', '.join(options)}: put the options into the preparation")
    if name in toys.TOYS:
        data = _draw_toy(name, preparation, seed)
    elif name in NAMES:
        data = load_named(name, data_dir, preparation, seed)
    else:
        data = _load_path(_existing(name), preparation, seed)
    preparation.require_suited(data.name, data.kind)
    if preparation.bits is not None:
        data = reduce_bits(data, preparation.bits)
    if preparation.labels:
        _require_labels(data)
    if preparation.test is None:
        return data
    # All test rows are used, with the same preparation as the others.
    chosen = replace(preparation, test=None, limit=None)
    if data.left_out:
        chosen = replace(chosen, columns=data.columns)
    return with_test(data, load(preparation.test, chosen, data_dir=data_dir))


def reduce_bits(data: DataSet, bits: int) -> DataSet:
    """Images of 256 levels reduced to their leading ``bits``; raises DataError for another number of levels."""
    if data.levels != 256:
        raise DataError(f"bits: images of 256 levels expected, but {data.name} has {data.levels}")
    return replace(data, x=data.x >> (8 - bits), levels=2**bits)


def with_test(data: DataSet, test: DataSet) -> DataSet:
    """``data`` followed by the rows of ``test``, which are marked as the test part.

    Raises DataError if the two do not match, OptionError if ``data`` already has a test part.
    """
    if data.test_rows is not None:
        raise OptionError(f"{data.name} has a published test part; a test file is for data without one")
    if data.event_shape != test.event_shape or (data.columns, data.context_columns) != (
        test.columns,
        test.context_columns,
    ):
        raise DataError(
            f"{test.name}: rows like those of {data.name} expected, of shape {data.event_shape}, got {test.event_shape}"
        )
    if data.levels is not None:
        levels = max(data.levels, test.levels or 0)
        data, test = data.with_levels(levels), test.with_levels(levels)
    return replace(
        data,
        x=np.concatenate([data.x, test.x]),
        context=_joined(data.context, test.context),
        labels=_joined(data.labels, test.labels),
        test_rows=np.arange(len(data), len(data) + len(test)),
        numbers=np.concatenate([data.row_numbers, test.row_numbers]),
        source=f"{data.source}; test rows from {test.source}",
    )


def _joined(first: Any, second: Any) -> Any:
    return None if first is None or second is None else np.concatenate([first, second])


def _require_labels(data: DataSet) -> None:
    if data.labels is None:
        raise DataError(f"{data.name} has no class labels to condition on")
    if data.labels.min() < 0:
        raise DataError(f"{data.name}: class labels of 0 and above expected, got {data.labels.min()}")


def _draw_toy(name: str, preparation: Preparation, seed: int) -> DataSet:
    choice = choose(name, ("x", "y"), preparation.columns, preparation.context, named=True)
    rows = _TOY_ROWS if preparation.limit is None else preparation.limit
    require_size(name, 16 * rows)
    points = toys.sample(name, rows, seed)
    return finish(name, f"{toys.describe(name)}, drawn with seed {seed}", points[:, list(choice.needed)], choice)


def _existing(name: str) -> Path:
    path = Path(name).expanduser()
    try:
        if path.exists():
            return path
    except (OSError, ValueError):
        pass  # a name with a NUL, or a name that is too long: no such file can exist
    shown = name if len(name) <= 200 else f"{name[:200]}..."
    if "/" in name or "\\" in name or name.lower().endswith(_SUFFIXES) or looks_like_idx(path):
        raise DataError(f"{shown}: no such file or folder")
    advice = " ".join(filter(None, (did_you_mean(name, NAMES), "`pushforward data` lists the names")))
    raise DataError(f"{shown!r} is neither a named data set nor a file here; {advice}")


def _load_path(path: Path, preparation: Preparation, seed: int) -> DataSet:
    columns, context = preparation.columns, preparation.context
    lower = path.name.lower()
    if path.is_dir() or lower.endswith(IMAGE_SUFFIXES):
        return _load_image_files(path, preparation, seed)
    if lower.endswith(".parquet"):
        data = read_parquet(path, columns, context)
    elif lower.endswith(_TEXT_SUFFIXES):
        data = read_csv(path, columns, context)
    else:
        array, labels = read_array(path)
        if array.ndim < 3:
            data = from_matrix(path.name, str(path), array, columns, context)
        else:
            data = image_set(path.name, as_images(array, str(path)), labels=labels, source=str(path))
    # Levels are detected before rows are dropped: they are a property of all data, not of the random subset.
    rows = subset(len(data), preparation.limit, seed)
    data = data if rows is None else data.take(rows)
    if data.kind == "image":
        data = replace(data, x=prepare_array(data.x, preparation, data.name))
    return data


def is_array(path: Path) -> bool:
    """Whether `read_array` reads files with this ending."""
    return path.name.lower().endswith((".npy", ".npz")) or looks_like_idx(path)


def read_array(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """The array in a file and, if it has any, its class labels; raises DataError."""
    lower = path.name.lower()
    if lower.endswith(".npy"):
        return read_npy(path), None
    if lower.endswith(".npz"):
        return read_npz(path)
    if looks_like_idx(path):
        return read_idx(path), None
    raise DataError(
        f"{path}: unknown file ending; expected {', '.join(_SUFFIXES)}, an idx file (such as "
        "train-images-idx3-ubyte.gz) or a folder of images"
    )


def _load_image_files(path: Path, preparation: Preparation, seed: int) -> DataSet:
    """A folder of images or a single image. They always have 256 levels, because the files store 8 bits."""
    paths, labels = find_images(path) if path.is_dir() else ([path], None)
    rows = subset(len(paths), preparation.limit, seed)
    if rows is not None:
        paths = [paths[row] for row in rows]
        labels = None if labels is None else labels[rows]
    x = read_images(paths, preparation)
    return image_set(path.name or str(path), x, levels=256, labels=labels, source=str(path))
