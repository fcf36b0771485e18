import gzip
import struct
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from pushforward.data import load, reading
from pushforward.data.arrays import as_images, looks_like_idx, read_idx, read_npy
from pushforward.errors import DataError


def _npy_header(shape: object, descr: str = "<f8", payload: bytes = b"", text: str | None = None) -> bytes:
    text = text or f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + payload


def _idx(array: np.ndarray, kind: int = 8, shape: tuple[int, ...] | None = None) -> bytes:
    shape = array.shape if shape is None else shape
    return bytes([0, 0, kind, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + array.tobytes()


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", ">f8", "i8", ">i4", "u1", "?", "g"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_matrix_is_a_float64_table(tmp_path, dtype, order):
    x = np.asarray(np.arange(12).reshape(4, 3) % 2, dtype=dtype, order=order)
    np.save(tmp_path / "a.npy", x)
    data = load(str(tmp_path / "a.npy"))
    assert data.kind == "table"
    assert data.x.dtype == np.float64
    assert (data.x == x.astype(float)).all()
    assert data.columns == ("x0", "x1", "x2")


def test_npy_vector_is_a_table_of_one_column(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(5.0))
    assert load(str(tmp_path / "a.npy")).x.tolist() == [[0], [1], [2], [3], [4]]


def test_loaded_arrays_can_be_written_to(tmp_path):
    # torch.from_numpy warns about arrays that cannot.
    np.save(tmp_path / "a.npy", np.zeros((3, 4, 4), np.uint8))
    np.savez(tmp_path / "a.npz", np.zeros((3, 4, 4), np.uint8))
    (tmp_path / "a.idx").write_bytes(_idx(np.zeros((3, 4, 4), np.uint8)))
    for name in ("a.npy", "a.npz", "a.idx"):
        assert load(str(tmp_path / name)).x.flags.writeable


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((5, 8, 6), (5, 1, 8, 6)),
        ((5, 1, 8, 6), (5, 1, 8, 6)),
        ((5, 3, 8, 6), (5, 3, 8, 6)),
        ((5, 8, 6, 1), (5, 1, 8, 6)),
        ((5, 8, 6, 3), (5, 3, 8, 6)),
    ],
)
def test_images_come_out_channels_first(shape, expected):
    x = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    images = as_images(x, "a")
    assert images.shape == expected
    assert images.flags.c_contiguous
    if shape[-1] == 3:
        assert (images[2, :, 4, 5] == x[2, 4, 5]).all()


@pytest.mark.parametrize("shape", [(5, 3, 8, 3), (5, 1, 8, 1), (5, 4, 8, 8), (5, 1, 1, 3)])
def test_images_whose_channel_axis_cannot_be_told_are_refused(shape):
    with pytest.raises(DataError, match="no unique channel axis"):
        as_images(np.zeros(shape, np.uint8), "a")


@pytest.mark.parametrize("dtype", ["f8", "f4", "i4", "i1", "u2", "?"])
def test_whole_numbers_of_any_dtype_are_images(dtype):
    x = (np.arange(32).reshape(2, 4, 4) % 2).astype(dtype)
    assert as_images(x, "a").dtype == np.uint8
    assert (as_images(x, "a")[:, 0] == x).all()


@pytest.mark.parametrize("value", [0.5, -1.0, 256.0, np.nan, np.inf])
def test_images_with_other_values_are_refused_with_the_image(value):
    x = np.zeros((3, 4, 4))
    x[1, 2, 2] = value
    with pytest.raises(DataError, match=r"a: images must have integers from 0 to 255, but image 1"):
        as_images(x, "a")


def test_nan_in_a_matrix_is_named_by_row_and_column(tmp_path):
    x = np.zeros((6, 3))
    x[[2, 4], [1, 0]] = np.nan
    np.save(tmp_path / "a.npy", x)
    with pytest.raises(DataError, match=r"row 3, column 'x1'; 2 of 6 rows"):
        load(str(tmp_path / "a.npy"))
    assert load(str(tmp_path / "a.npy"), columns=["2"]).x.shape == (6, 1)


def test_infinity_in_a_matrix_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[1.0, -np.inf]]))
    with pytest.raises(DataError, match=r"the value -inf in row 1, column 'x1'"):
        load(str(tmp_path / "a.npy"))


def test_npz_gives_its_data_and_labels(tmp_path):
    x = np.arange(64, dtype=np.uint8).reshape(4, 4, 4)
    np.savez_compressed(tmp_path / "a.npz", images=x, labels=np.array([3, 1, 2, 0], np.uint8))
    data = load(str(tmp_path / "a.npz"))
    assert (data.x[:, 0] == x).all()
    assert data.labels.tolist() == [3, 1, 2, 0]
    assert data.labels.dtype == np.int64


def test_npz_of_several_arrays_needs_a_name_that_tells_the_data(tmp_path):
    np.savez(tmp_path / "a.npz", p=np.zeros((3, 2)), q=np.zeros((3, 2)))
    with pytest.raises(DataError, match=r"none has a name for the data; name it 'x'\. The arrays are 'p', 'q'"):
        load(str(tmp_path / "a.npz"))
    np.savez(tmp_path / "b.npz", p=np.zeros((3, 2)), x=np.ones((4, 2)))
    assert load(str(tmp_path / "b.npz")).x.shape == (4, 2)


def test_objects_and_pickles_are_never_loaded(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "a.npz", x=np.array([{"a": 1}], dtype=object))
    for name in ("a.npy", "a.npz"):
        with pytest.raises(DataError, match="an array of numbers expected, got dtype object"):
            load(str(tmp_path / name))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x",
        b"\x93NUMPY",
        b"\x93NUMPY\x01\x00",
        b"\x93NUMPY\x01\x00\x00\x00{}" + bytes(50),
        b"\x93NUMPY\x01\x00\x01\x00{}" + bytes(50),
        _npy_header((10, 10)),
        _npy_header((2, 2), payload=bytes(31)),
        _npy_header((2, 2), payload=bytes(33)),
        _npy_header((10**12, 10**12)),
        _npy_header((2**63, 2**63)),
        _npy_header((0, 10**30)),
        _npy_header((-1, 4), payload=bytes(32)),
        _npy_header((-2, -2), payload=bytes(32)),
        _npy_header((True, 4), payload=bytes(32)),
        _npy_header("()", payload=bytes(8)),
        _npy_header((1, 1, 1, 1, 1), payload=bytes(8)),
        _npy_header("(2.0, 2)", payload=bytes(32)),
        _npy_header((4,), descr="|O", payload=bytes(32)),
        _npy_header((4,), descr="<c16", payload=bytes(64)),
        _npy_header((4,), descr="<U2", payload=bytes(32)),
        _npy_header((4,), descr="|V0"),
        _npy_header((4,), descr="nonsense", payload=bytes(32)),
        _npy_header((4,), text="{" * 9000),
        _npy_header((4,), text="(" * 9000 + ")" * 900),
        _npy_header((4,), text="__import__('os').abort()"),
        _npy_header((4,), text="{'descr': '<f8', 'fortran_order': 1, 'shape': (4,)}", payload=bytes(32)),
        b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + b"{}",
        b"\x93NUMPY\x03\x00" + struct.pack("<I", 100) + b"{}",
        b"\x93NUMPY\x09\x09" + bytes(50),
    ],
)
def test_hostile_npy_is_one_sentence(tmp_path, content):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.npy"):
        read_npy(tmp_path / "a.npy")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", content)
    with pytest.raises(DataError, match=r"a\.npz"):
        load(str(tmp_path / "a.npz"))


@pytest.fixture
def little_is_allowed(monkeypatch):
    """Lower what any file may expand to, so that a bomb need not be large."""
    monkeypatch.setattr(reading, "_ALWAYS_ALLOWED", 1 << 20)


@pytest.mark.usefixtures("little_is_allowed")
def test_npz_that_expands_beyond_measure_is_refused(tmp_path):
    rows = 30 << 20
    with (
        zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("x.npy", "w") as file,
    ):
        file.write(_npy_header((rows,), descr="|u1"))
        for _ in range(30):
            file.write(bytes(1 << 20))
    with pytest.raises(DataError, match="which is implausible for data"):
        load(str(tmp_path / "bomb.npz"))


def test_npz_whose_directory_lies_about_sizes_is_refused(tmp_path):
    raw = BytesIO()
    np.savez(raw, x=np.arange(100.0))
    content = bytearray(raw.getvalue())
    at = content.rindex(b"PK\x01\x02")
    for claim in (0, 927, 929, 2**31, 2**32 - 2):
        lying = bytearray(content)
        lying[at + 24 : at + 28] = struct.pack("<I", claim)
        (tmp_path / "a.npz").write_bytes(lying)
        with pytest.raises(DataError, match=r"a\.npz"):
            load(str(tmp_path / "a.npz"))


def test_npz_with_a_flipped_byte_fails_its_checksum(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.arange(100.0))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[400] ^= 1
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match="CRC"):
        load(str(tmp_path / "a.npz"))


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-images.idx3-ubyte", "a.idx", "x-idx2-double"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_files_are_told_by_their_names(tmp_path, name, suffix):
    assert looks_like_idx(Path(name + suffix))
    x = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    content = _idx(x)
    (tmp_path / (name + suffix)).write_bytes(gzip.compress(content) if suffix else content)
    data = load(str(tmp_path / (name + suffix)))
    assert (data.x[:, 0] == x).all()


@pytest.mark.parametrize(
    ("kind", "dtype"), [(8, "u1"), (9, "i1"), (0xB, ">i2"), (0xC, ">i4"), (0xD, ">f4"), (0xE, ">f8")]
)
def test_idx_of_every_type_is_read(tmp_path, kind, dtype):
    x = (np.arange(12).reshape(4, 3) - 3 * (dtype != "u1")).astype(dtype)
    (tmp_path / "a.idx").write_bytes(_idx(x, kind))
    assert (load(str(tmp_path / "a.idx")).x == x).all()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0\x08",
        b"\0\0\x08\x03\0\0",
        b"\0\0\x07\x01\0\0\0\x01a",
        b"\x01\0\x08\x01\0\0\0\x01a",
        _idx(np.zeros(8, np.uint8), shape=(2, 5)),
        _idx(np.zeros(8, np.uint8), shape=(2, 3)),
        _idx(np.zeros(8, np.uint8), shape=(2**32 - 1, 2**32 - 1)),
        _idx(np.zeros(0, np.uint8), shape=(0, 4)),
        _idx(np.zeros(4, np.uint8), shape=()),
        _idx(np.zeros(4, np.uint8), shape=(1, 1, 1, 2, 2)),
        bytes([0, 0, 8, 255]) + bytes(100),
    ],
)
def test_hostile_idx_is_one_sentence(tmp_path, content):
    (tmp_path / "a.idx").write_bytes(content)
    (tmp_path / "a.idx.gz").write_bytes(gzip.compress(content))
    for name in ("a.idx", "a.idx.gz"):
        with pytest.raises(DataError, match=r"a\.idx"):
            read_idx(tmp_path / name)


@pytest.mark.usefixtures("little_is_allowed")
def test_gzip_that_expands_beyond_measure_is_refused(tmp_path):
    with gzip.open(tmp_path / "bomb.idx.gz", "wb", compresslevel=9) as file:
        for _ in range(30):
            file.write(bytes(1 << 20))
    with pytest.raises(DataError, match="which is implausible for data"):
        read_idx(tmp_path / "bomb.idx.gz")
