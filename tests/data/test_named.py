import gzip
import os
import pickle
import struct
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from pushforward.data import load, names, split
from pushforward.data.cifar import read_python_batch
from pushforward.errors import DataError

_RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _no_data_folder(monkeypatch):
    monkeypatch.delenv("PUSHFORWARD_DATA", raising=False)


def _write_idx(path: Path, array: np.ndarray) -> None:
    content = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def _write_mnist(folder: Path, end: str = "", dash: str = "-") -> np.ndarray:
    images = _RNG.integers(0, 256, (30, 28, 28)).astype(np.uint8)
    for part, rows in (("train", slice(0, 20)), ("t10k", slice(20, 30))):
        _write_idx(folder / f"{part}-images{dash}idx3-ubyte{end}", images[rows])
        _write_idx(folder / f"{part}-labels{dash}idx1-ubyte{end}", np.arange(30, dtype=np.uint8)[rows] % 10)
    return images


def test_digits_are_the_1797_of_scikit_learn():
    data = load("digits")
    assert data.x.shape == (1797, 1, 8, 8)
    assert data.levels == 17
    assert np.bincount(data.labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert data.test_rows is None
    assert load("digits", resize=4).x.shape == (1797, 1, 4, 4)


@pytest.mark.parametrize("folder", ["mnist", "MNIST/raw", "MNIST", "."])
@pytest.mark.parametrize(("end", "dash"), [("", "-"), (".gz", "-"), ("", ".")])
def test_mnist_is_found_as_its_publisher_and_torchvision_lay_it_out(tmp_path, folder, end, dash):
    images = _write_mnist(tmp_path / folder, end, dash)
    data = load("mnist", data_dir=tmp_path)
    assert (data.x[:, 0] == images).all()
    assert data.labels.tolist() == [*range(10)] * 3
    assert data.levels == 256
    assert split(data).test.tolist() == list(range(20, 30))


def test_environment_names_the_data_folder_and_an_argument_beats_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PUSHFORWARD_DATA", str(tmp_path / "a"))
    first, second = _write_mnist(tmp_path / "a/mnist"), _write_mnist(tmp_path / "b/mnist")
    assert (load("mnist").x[:, 0] == first).all()
    assert (load("mnist", data_dir=tmp_path / "b").x[:, 0] == second).all()


def test_fashion_mnist_is_not_taken_for_mnist(tmp_path):
    _write_mnist(tmp_path)
    with pytest.raises(DataError, match="fashion-mnist"):
        load("fashion-mnist", data_dir=tmp_path)
    images = _write_mnist(tmp_path / "FashionMNIST/raw")
    assert (load("fashion-mnist", data_dir=tmp_path).x[:, 0] == images).all()


def test_limit_resize_grey_and_bits_apply_to_named_images(tmp_path):
    _write_mnist(tmp_path / "mnist")
    data = load("mnist", data_dir=tmp_path, limit=12, resize=14, bits=5, seed=3)
    assert data.x.shape == (12, 1, 14, 14)
    assert data.levels == 32
    assert data.x.max() < 32
    assert len(data.labels) == 12
    whole = load("mnist", data_dir=tmp_path)
    limited = load("mnist", data_dir=tmp_path, limit=12, seed=3)
    is_test = [any((row == t).all() for t in whole.x[whole.test_rows]) for row in limited.x]
    assert limited.test_rows.tolist() == np.flatnonzero(is_test).tolist()


def test_incomplete_or_foreign_files_are_refused(tmp_path):
    _write_mnist(tmp_path / "mnist")
    (tmp_path / "mnist/t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="mnist: not in"):
        load("mnist", data_dir=tmp_path)
    _write_idx(tmp_path / "mnist/t10k-labels-idx1-ubyte", np.zeros(9, np.uint8))
    with pytest.raises(DataError, match=r"N labels expected, got \(10, 28, 28\) and \(9,\)"):
        load("mnist", data_dir=tmp_path)


def _cifar_records(rows: int) -> tuple[np.ndarray, np.ndarray]:
    return _RNG.integers(0, 256, (rows, 3072)).astype(np.uint8), (np.arange(rows) % 10).astype(np.uint8)


_BATCHES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]


@pytest.mark.parametrize("top", ["", "cifar10", "cifar-10", "CIFAR10"])
def test_cifar10_binary_version_is_read(tmp_path, top):
    folder = tmp_path / top / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    written = []
    for batch in _BATCHES:
        pixels, labels = _cifar_records(4)
        (folder / f"{batch}.bin").write_bytes(np.concatenate([labels[:, None], pixels], axis=1).tobytes())
        written.append(pixels)
    data = load("cifar10", data_dir=tmp_path)
    assert (data.x.reshape(24, -1) == np.concatenate(written)).all()
    assert data.x.shape == (24, 3, 32, 32)
    assert data.labels.tolist() == [0, 1, 2, 3] * 6
    assert data.test_rows.tolist() == [20, 21, 22, 23]
    (folder / "data_batch_2.bin").write_bytes(b"x" * 5000)
    with pytest.raises(DataError, match=r"data_batch_2\.bin: records of 3,073 bytes"):
        load("cifar10", data_dir=tmp_path)


def test_cifar10_as_npz_is_read(tmp_path):
    for name, rows in (("train", 20), ("test", 10)):
        pixels, labels = _cifar_records(rows)
        images = pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        np.savez_compressed(tmp_path / f"{name}.npz", images=images, labels=labels)
    data = load("cifar10", data_dir=tmp_path)
    assert (data.x[20:].reshape(10, -1) == pixels).all()
    assert data.test_rows.tolist() == list(range(20, 30))


class _Python2Pickler(pickle._Pickler):
    """Writes byte strings as Python 2 did, and as the publisher's files have them."""

    def save_text(self, obj: bytes | str) -> None:
        raw = obj.encode() if isinstance(obj, str) else obj
        self.write(b"U" + bytes([len(raw)]) + raw if len(raw) < 256 else b"T" + struct.pack("<i", len(raw)) + raw)
        self.memoize(obj)

    dispatch: ClassVar = {**pickle._Pickler.dispatch, bytes: save_text, str: save_text}


def _write_python_batch(path: Path, batch: dict[object, object], python: int) -> None:
    with path.open("wb") as file:
        (_Python2Pickler if python == 2 else pickle._Pickler)(file, protocol=2 if python == 2 else 4).dump(batch)


@pytest.mark.parametrize("python", [2, 3])
@pytest.mark.parametrize("order", ["C", "F"])
def test_cifar10_python_version_is_read_without_unpickling(tmp_path, python, order):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    written = []
    for batch in _BATCHES:
        pixels, labels = _cifar_records(12)
        content = {
            "batch_label": "testing batch 1 of 1",
            "labels": labels.tolist(),
            "data": np.asarray(pixels, order=order),
            "filenames": [f"{i}.png" for i in range(12)],
        }
        _write_python_batch(folder / batch, content, python)
        written.append(pixels)
    data = load("cifar10", data_dir=tmp_path)
    assert (data.x.reshape(72, -1) == np.concatenate(written)).all()
    assert data.labels.tolist() == [*range(10), 0, 1] * 6


class _Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


def test_pickle_in_place_of_a_batch_runs_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "data_batch_1"
    path.write_bytes(pickle.dumps({"data": _Bomb(), "labels": [1, 2]}))
    with pytest.raises(DataError, match="use the binary version"):
        read_python_batch(path)
    path.write_bytes(pickle.dumps({"labels": [1] * 3, "data": bytes(3072)})[:-900])
    with pytest.raises(DataError, match="data_batch_1"):
        read_python_batch(path)
    assert not Path("exploded").exists()


def _write_celeba(folder: Path, count: int = 6) -> None:
    (folder / "img_align_celeba").mkdir(parents=True)
    lines = []
    for i in range(count):
        image = np.full((218, 178, 3), 255, np.uint8)
        image[40:188, 15:163] = 10 * i
        Image.fromarray(image).save(folder / f"img_align_celeba/{i + 1:06d}.jpg", quality=100, subsampling=0)
        lines.append(f"{i + 1:06d}.jpg {i % 3}\n")
    (folder / "list_eval_partition.txt").write_text("".join(lines))


def test_celeba_is_cropped_to_the_face_scaled_and_has_its_test_part(tmp_path):
    _write_celeba(tmp_path / "celeba")
    data = load("celeba", data_dir=tmp_path)
    assert data.x.shape == (6, 3, 64, 64)
    assert data.test_rows.tolist() == [2, 5]
    for i in range(6):
        # The crop is constant; JPEG rings by a few levels near the white frame, which the crop leaves out.
        assert np.abs(data.x[i, :, 8:-8, 8:-8].astype(int) - 10 * i).max() <= 1
    assert load("celeba", data_dir=tmp_path, resize=32, grey=True, limit=3).x.shape == (3, 1, 32, 32)


@pytest.mark.parametrize(
    "text", ["", "000001.jpg\n", "000001.jpg x\n", "000001.jpg 7\n", "../000001.jpg 0\n", "\xff 1\n"]
)
def test_damaged_partition_list_of_celeba_is_refused(tmp_path, text):
    _write_celeba(tmp_path / "celeba", count=1)
    (tmp_path / "celeba/list_eval_partition.txt").write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match="list_eval_partition"):
        load("celeba", data_dir=tmp_path)


def test_missing_picture_of_celeba_is_named(tmp_path):
    _write_celeba(tmp_path / "celeba")
    (tmp_path / "celeba/img_align_celeba/000003.jpg").unlink()
    with pytest.raises(DataError, match=r"000003\.jpg"):
        load("celeba", data_dir=tmp_path)


@pytest.mark.parametrize(
    ("name", "place", "how"),
    [
        ("mnist", "MNIST/raw/train-images-idx3-ubyte", "yann.lecun.com"),
        ("fashion-mnist", "FashionMNIST/raw/train-images-idx3-ubyte", "zalandoresearch"),
        ("cifar10", "cifar-10-batches-bin/data_batch_1.bin", "cs.toronto.edu"),
        ("celeba", "celeba/list_eval_partition.txt", "mmlab"),
    ],
)
def test_missing_data_say_where_they_were_looked_for_and_how_to_get_them(tmp_path, name, place, how):
    with pytest.raises(DataError) as caught:
        load(name, data_dir=tmp_path)
    for part in (str(tmp_path), place, how):
        assert part in str(caught.value)
    with pytest.raises(DataError, match="PUSHFORWARD_DATA is not set"):
        load(name)


def test_names_tell_what_is_there(tmp_path):
    _write_mnist(tmp_path / "mnist")
    present = {info.name: info.present for info in names(tmp_path)}
    assert present == {
        **dict.fromkeys(
            ["digits", "two-moons", "eight-gaussians", "checkerboard", "spirals", "pinwheel", "rings"], True
        ),
        "mnist": True,
        "fashion-mnist": False,
        "cifar10": False,
        "celeba": False,
    }
    assert not any(info.present for info in names() if info.name in ("mnist", "cifar10"))
    assert all(info.where and info.summary and info.shape for info in names())


_REAL = Path(os.environ.get("PUSHFORWARD_DATA", "/nowhere"))


@pytest.mark.skipif(not (_REAL / "mnist").is_dir(), reason="needs MNIST under $PUSHFORWARD_DATA")
def test_mnist_is_the_published_one():
    data = load("mnist", data_dir=_REAL)
    assert data.x.shape == (70_000, 1, 28, 28)
    assert np.bincount(data.labels[data.test_rows]).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert data.x[:60_000].mean() / 255 == pytest.approx(0.1307, abs=1e-4)
    parts = split(data)
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (54_000, 6_000, 10_000)
