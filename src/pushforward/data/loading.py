"""From a name or a path to a checked data set, with every option applied or refused."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pushforward.data import toys
from pushforward.data.arrays import as_images, looks_like_idx, read_idx, read_npy, read_npz
from pushforward.data.columns import choose, finish, from_matrix
from pushforward.data.dataset import DataSet, image_set, subset
from pushforward.data.images import IMAGE_SUFFIXES, Preparation, find_images, prepare_array, read_images
from pushforward.data.named import NAMES, load_named
from pushforward.data.reading import require_size
from pushforward.data.tables import read_csv, read_parquet
from pushforward.error_messages import did_you_mean
from pushforward.errors import DataError, OptionError

__all__ = ["load"]

_TOY_ROWS = 10_000
_TEXT_SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
_SUFFIXES = (".npy", ".npz", ".parquet", *_TEXT_SUFFIXES, *IMAGE_SUFFIXES)


def load(
    name: str,
    *,
    data_dir: Path | None = None,
    columns: Sequence[str] | None = None,
    context: Sequence[str] | None = None,
    bits: int | None = None,
    resize: int | None = None,
    crop: tuple[int, int, int, int] | None = None,
    grey: bool = False,
    limit: int | None = None,
    seed: int = 0,
) -> DataSet:
    """Load a named data set (see `names`), a file, or a folder of images.

    Files are told apart by their endings: .npy, .npz, idx names as MNIST's publisher uses them, .csv and .tsv (also
    with .gz), .parquet, and single images. Arrays of one or two dimensions are tables, of three or four images.

    Args:
        data_dir: where named data are looked for; default: the environment variable PUSHFORWARD_DATA.
        columns: tables: the columns to model, by name (or index where the file names none); default: all of them.
        context: tables: columns to take out of the data and to condition on.
        bits: images of 256 levels: keep only this many leading bits, 1 to 8 (5 bits are 32 levels).
        resize: images: scale the largest centred square to `resize` x `resize` pixels, rounded to whole numbers.
        crop: images: top, bottom, left, right in pixels, as in `image[top:bottom, left:right]`.
        grey: images: one channel (ITU-R 601 luma).
        limit: use only this many rows, drawn at random by `seed`; toys: how many points to draw (default 10,000).
        seed: for the draw of `limit` and for toys.

    Raises:
        DataError: if the data cannot be found or read, or do not go with an option.
        OptionError: if an option is out of range, or is not for this kind of data.
    """
    if bits is not None and not 1 <= bits <= 8:
        raise OptionError(f"bits: 1 to 8 expected, got {bits}")
    if limit is not None and limit < 1:
        raise OptionError(f"limit: a positive number of rows expected, got {limit}")
    preparation = Preparation(crop, resize, grey)
    if name in toys.TOYS:
        data = _draw_toy(name, columns, context, limit, seed)
    elif name in NAMES:
        data = load_named(name, data_dir, preparation, limit, seed)
    else:
        data = _load_path(_existing(name), columns, context, preparation, limit, seed)
    if data.kind == "image":
        _refuse(data, "an image data set", "tables", columns=columns, context=context)
        return data if bits is None else _reduce_bits(data, bits)
    _refuse(data, "a table", "images", bits=bits, resize=resize, crop=crop, grey=grey or None)
    return data


def _refuse(data: DataSet, kind: str, other: str, **options: object) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise OptionError(f"{given[0]}: this option is for {other}, but {data.name} is {kind}")


def _reduce_bits(data: DataSet, bits: int) -> DataSet:
    if data.levels != 256:
        raise DataError(f"bits: images of 256 levels expected, but {data.name} has {data.levels}")
    return replace(data, x=data.x >> (8 - bits), levels=2**bits)


def _draw_toy(
    name: str, columns: Sequence[str] | None, context: Sequence[str] | None, limit: int | None, seed: int
) -> DataSet:
    choice = choose(name, ("x", "y"), columns, context, named=True)
    rows = _TOY_ROWS if limit is None else limit
    require_size(name, 16 * rows)
    points = toys.sample(name, rows, seed)
    return finish(name, f"{toys.describe(name)}, drawn with seed {seed}", points[:, list(choice.needed)], choice)


def _existing(name: str) -> Path:
    path = Path(name).expanduser()
    try:
        if path.exists():
            return path
    except (OSError, ValueError):
        pass  # a name with a NUL, or one that is too long: it cannot be there
    shown = name if len(name) <= 200 else f"{name[:200]}..."
    if "/" in name or "\\" in name or name.lower().endswith(_SUFFIXES) or looks_like_idx(path):
        raise DataError(f"{shown}: no such file or folder")
    advice = " ".join(filter(None, (did_you_mean(name, NAMES), "`pushforward data` lists the names")))
    raise DataError(f"{shown!r} is neither a named data set nor a file here; {advice}")


def _load_path(
    path: Path,
    columns: Sequence[str] | None,
    context: Sequence[str] | None,
    preparation: Preparation,
    limit: int | None,
    seed: int,
) -> DataSet:
    lower = path.name.lower()
    if path.is_dir() or lower.endswith(IMAGE_SUFFIXES):
        return _load_image_files(path, preparation, limit, seed)
    if lower.endswith(".parquet"):
        data = read_parquet(path, columns, context)
    elif lower.endswith(_TEXT_SUFFIXES):
        data = read_csv(path, columns, context)
    else:
        array, labels = _read_array(path)
        if array.ndim < 3:
            data = from_matrix(path.name, str(path), array, columns, context)
        else:
            data = image_set(path.name, as_images(array, str(path)), labels=labels, source=str(path))
    # Levels are detected before rows are dropped: they belong to the data, not to the draw.
    rows = subset(len(data), limit, seed)
    data = data if rows is None else data.take(rows)
    if data.kind == "image" and not preparation.nothing:
        data = replace(data, x=prepare_array(data.x, preparation, data.name))
    return data


def _read_array(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    lower = path.name.lower()
    if lower.endswith(".npy"):
        return read_npy(path), None
    if lower.endswith(".npz"):
        return read_npz(path)
    if looks_like_idx(path):
        return read_idx(path), None
    raise DataError(
        f"{path}: a file of this ending is not read; {', '.join(_SUFFIXES)}, idx files (such as "
        "train-images-idx3-ubyte.gz) and folders of images are"
    )


def _load_image_files(path: Path, preparation: Preparation, limit: int | None, seed: int) -> DataSet:
    """A folder of images or a single one. They have 256 levels however dark they are: that is what the files store."""
    paths, labels = find_images(path) if path.is_dir() else ([path], None)
    rows = subset(len(paths), limit, seed)
    if rows is not None:
        paths = [paths[row] for row in rows]
        labels = None if labels is None else labels[rows]
    x = read_images(paths, preparation)
    return image_set(path.name or str(path), x, levels=256, labels=labels, source=str(path))
