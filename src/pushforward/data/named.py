"""Named data sets: their descriptions, the folders where they are searched, and their readers."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pushforward.data import toys
from pushforward.data.arrays import as_images, read_idx, read_npz
from pushforward.data.cifar import read_binary_batch, read_python_batch
from pushforward.data.dataset import DataSet, image_set, subset
from pushforward.data.images import prepare_array, read_images
from pushforward.data.reading import foreign, read_all
from pushforward.errors import DataError
from pushforward.preparation import Preparation

CELEBA_CROP = (40, 188, 15, 163)
CELEBA_SIZE = 64
_DIGITS_SOURCE = "scikit-learn's load_digits (UCI, Optical Recognition of Handwritten Digits, test part)"


@dataclass(frozen=True)
class DataInfo:
    """One entry of the list of named data: its description, its possible folders, and whether its files exist."""

    name: str
    summary: str
    shape: str
    where: tuple[str, ...]
    present: bool


@dataclass(frozen=True)
class _Named:
    """A named data set stored in files.

    Each entry of `layouts` is one way of storing it: the files, relative to the data folder, in the order that the
    reader needs. A file with the additional ending .gz is also accepted.
    """

    summary: str
    shape: str
    layouts: tuple[tuple[str, ...], ...]
    how: str
    read: "Callable[[_Request], DataSet]"


@dataclass(frozen=True)
class _Request:
    """The arguments of a reader: the files of the existing layout, and the preparation of the images."""

    name: str
    files: tuple[Path, ...]
    preparation: Preparation
    seed: int

    def data_set(
        self, train: np.ndarray, test: np.ndarray, labels: tuple[np.ndarray, np.ndarray] | None = None
    ) -> DataSet:
        """Both published parts as one data set of 256 levels, the test part last, limited and prepared."""
        data = image_set(
            self.name,
            np.concatenate([train, test]),
            levels=256,
            labels=None if labels is None else np.concatenate(labels),
            test_rows=np.arange(len(train), len(train) + len(test)),
            source=str(self.files[0].parent),
        )
        rows = subset(len(data), self.preparation.limit, self.seed)
        data = data if rows is None else data.take(rows)
        return replace(data, x=prepare_array(data.x, self.preparation, self.name))


def _idx_layouts(folders: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """The four files of MNIST and similar data sets, images first, in each folder and in both spellings."""
    layouts = []
    for folder in folders:
        for dash in ("-", "."):
            stems = (
                f"{part}-{what}" for part in ("train", "t10k") for what in (f"images{dash}idx3", f"labels{dash}idx1")
            )
            layouts.append(tuple(os.path.normpath(f"{folder}/{stem}-ubyte") for stem in stems))
    return tuple(layouts)


def _read_mnist(request: _Request) -> DataSet:
    parts = []
    for images, labels in (request.files[:2], request.files[2:]):
        x, y = read_idx(images), read_idx(labels)
        if x.ndim != 3 or x.shape[1:] != (28, 28) or y.shape != (len(x),):
            raise DataError(f"{images}: images (N, 28, 28) and N labels expected, got {x.shape} and {y.shape}")
        parts.append((as_images(x, str(images)), y))
    (train, y_train), (test, y_test) = parts
    return request.data_set(train, test, (y_train, y_test))


_CIFAR_BATCHES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")


def _cifar_layouts() -> tuple[tuple[str, ...], ...]:
    layouts = []
    for top in ("cifar10/", "cifar-10/", "CIFAR10/", ""):
        layouts.append(tuple(f"{top}cifar-10-batches-bin/{batch}.bin" for batch in _CIFAR_BATCHES))
        layouts.append(tuple(f"{top}cifar-10-batches-py/{batch}" for batch in _CIFAR_BATCHES))
        layouts.append((f"{top}train.npz", f"{top}test.npz"))
    return tuple(layouts)


def _read_cifar10(request: _Request) -> DataSet:
    parts = [_read_cifar_file(path) for path in request.files]
    train = [np.concatenate(arrays) for arrays in zip(*parts[:-1], strict=True)]
    return request.data_set(train[0], parts[-1][0], (train[1], parts[-1][1]))


def _read_cifar_file(path: Path) -> tuple[np.ndarray, np.ndarray]:
    if path.name.removesuffix(".gz").endswith(".bin"):
        return read_binary_batch(path)
    if path.suffix != ".npz":
        return read_python_batch(path)
    images, labels = read_npz(path)
    if images.ndim != 4 or labels is None:
        raise DataError(f"{path}: arrays 'images' (N, 32, 32, 3) and 'labels' (N,) expected, got {images.shape}")
    x = as_images(images, str(path))
    if x.shape[1:] != (3, 32, 32):
        raise DataError(f"{path}: images of 3 x 32 x 32 expected, got {x.shape[1:]}; these are not those of CIFAR-10")
    return x, labels


def _read_celeba(request: _Request) -> DataSet:
    partition = request.files[0]
    with foreign(partition, "CelebA's list of partitions"):
        lines = [line.split() for line in read_all(partition, "a list").decode("ascii").splitlines() if line.strip()]
        listed = [(name, int(part)) for name, part in lines]
    if not listed or any(part not in (0, 1, 2) or Path(name).name != name for name, part in listed):
        raise DataError(f"{partition}: lines of a file name and 0, 1 or 2 (training, validation, test) expected")
    rows = subset(len(listed), request.preparation.limit, request.seed)
    kept = listed if rows is None else [listed[row] for row in rows]
    folder = next(f for f in _celeba_folders(partition) if f.is_dir())
    return image_set(
        request.name,
        read_images([folder / name for name, _ in kept], request.preparation),
        levels=256,
        test_rows=np.flatnonzero([part == 2 for _, part in kept]),
        source=str(folder),
    )


def _celeba_folders(partition: Path) -> tuple[Path, ...]:
    """Possible folders of the pictures: that of the list of partitions, or those of the publisher."""
    return partition.parent / "img_align_celeba", partition.parent.parent / "Img" / "img_align_celeba"


_CELEBA_LAYOUTS = (
    ("celeba/list_eval_partition.txt", "celeba/img_align_celeba"),
    ("CelebA/Eval/list_eval_partition.txt", "CelebA/Img/img_align_celeba"),
    ("list_eval_partition.txt", "img_align_celeba"),
)

_FILED: dict[str, _Named] = {
    "mnist": _Named(
        "handwritten digits, 60,000 and 10,000 for testing",
        "(70000, 1, 28, 28)",
        _idx_layouts(["mnist", "MNIST/raw", "MNIST", "."]),
        "get the four .gz files of http://yann.lecun.com/exdb/mnist, mirrored at https://ossci-datasets.s3.amazonaws.com/mnist",
        _read_mnist,
    ),
    "fashion-mnist": _Named(
        "pictures of clothes, 60,000 and 10,000 for testing",
        "(70000, 1, 28, 28)",
        # Not directly in the data folder, because the files have the names of MNIST's.
        _idx_layouts(["fashion-mnist", "fashion_mnist", "FashionMNIST/raw", "FashionMNIST"]),
        "get the four .gz files from https://github.com/zalandoresearch/fashion-mnist",
        _read_mnist,
    ),
    "cifar10": _Named(
        "small photographs of ten classes, 50,000 and 10,000 for testing",
        "(60000, 3, 32, 32)",
        _cifar_layouts(),
        "get the binary version from https://www.cs.toronto.edu/~kriz/cifar.html and unpack it there",
        _read_cifar10,
    ),
    "celeba": _Named(
        "faces of celebrities, aligned, cropped and scaled to 64 x 64, 202,599, of which 19,962 for testing",
        "(202599, 3, 64, 64)",
        _CELEBA_LAYOUTS,
        "get img_align_celeba.zip and list_eval_partition.txt from https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html "
        "and unpack them there",
        _read_celeba,
    ),
}

NAMES: tuple[str, ...] = ("digits", *toys.TOYS, *_FILED)


def resolve_data_dir(data_dir: Path | None) -> Path | None:
    """The folder of the named data sets: `data_dir`, or else $PUSHFORWARD_DATA, or else None."""
    if data_dir is not None:
        return Path(data_dir)
    named = os.environ.get("PUSHFORWARD_DATA", "")
    return Path(named) if named else None


def names(data_dir: Path | None = None) -> tuple[DataInfo, ...]:
    """All named data sets, and whether their files are in `data_dir` (default: $PUSHFORWARD_DATA).

    >>> from pushforward import data
    >>> [info.name for info in data.names() if info.present][:3]
    ['digits', 'two-moons', 'eight-gaussians']
    """
    base = resolve_data_dir(data_dir)
    infos = [DataInfo("digits", "handwritten digits, small", "(1797, 1, 8, 8)", ("inside scikit-learn",), True)]
    for toy in toys.TOYS:
        infos.append(DataInfo(toy, toys.describe(toy), "(10000, 2)", ("generated",), True))
    for name, entry in _FILED.items():
        infos.append(DataInfo(name, entry.summary, entry.shape, _places(entry, base), _find(entry, base) is not None))
    return tuple(infos)


def _places(entry: _Named, base: Path | None) -> tuple[str, ...]:
    """The first file of each layout, as searched."""
    root = "$PUSHFORWARD_DATA" if base is None else str(base)
    return tuple(f"{root}/{layout[0]}" for layout in entry.layouts)


def _find(entry: _Named, base: Path | None) -> tuple[Path, ...] | None:
    """The files of the first layout that is complete."""
    if base is None:
        return None
    for layout in entry.layouts:
        files = [_present(base / file) for file in layout]
        if all(files):
            return tuple(file for file in files if file is not None)
    return None


def _present(path: Path) -> Path | None:
    try:
        return next((p for p in (path, path.with_name(path.name + ".gz")) if p.exists()), None)
    except (OSError, ValueError):
        return None


def load_named(name: str, data_dir: Path | None, preparation: Preparation, seed: int) -> DataSet:
    """The images of a named data set (toys aside), prepared; `preparation.limit` rows of them, drawn by `seed`.

    Raises: DataError: if its files are missing or damaged.
    """
    if name == "digits":
        return _load_digits(preparation, seed)
    entry, base = _FILED[name], resolve_data_dir(data_dir)
    files = _find(entry, base)
    if files is None:
        places = ", ".join(layout[0] for layout in entry.layouts)
        if base is None:
            raise DataError(
                f"{name}: PUSHFORWARD_DATA is not set and no --data-dir was given; the files expected in that folder "
                f"are {places}; {entry.how}"
            )
        raise DataError(f"{name}: not in {base}, which has no complete set of files of {places}; {entry.how}")
    if name == "celeba":
        crop, size = preparation.crop or CELEBA_CROP, preparation.resize or CELEBA_SIZE
        preparation = replace(preparation, crop=crop, resize=size)
    return entry.read(_Request(name, files, preparation, seed))


def _load_digits(preparation: Preparation, seed: int) -> DataSet:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    x = prepare_array(bunch.images.astype(np.uint8)[:, None], preparation, "digits")
    data = image_set("digits", x, levels=17, labels=bunch.target, source=_DIGITS_SOURCE)
    rows = subset(len(data), preparation.limit, seed)
    return data if rows is None else data.take(rows)
