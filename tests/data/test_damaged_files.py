"""Every prefix and every mutation of a valid file is either read or refused with a DataError, in little memory."""

import gzip
import struct
import tracemalloc
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from pushforward.data import DataSet, load
from pushforward.data.cifar import read_binary_batch, read_python_batch
from pushforward.errors import DataError

_IMAGE = np.random.default_rng(0).integers(0, 256, (6, 5, 3)).astype(np.uint8)
_PEAK = 64 << 20


def _saved(save, *arguments: object, **options: object) -> bytes:
    file = BytesIO()
    save(file, *arguments, **options)
    return file.getvalue()


_IDX = bytes([0, 0, 8, 3]) + struct.pack(">3I", 3, 4, 5) + bytes(range(60))
_TABLE = np.arange(12.0).reshape(4, 3)
_ARROW = pa.table({"a": [1.0, 2.0, 3.0], "b": pa.array([1, 2, 3], pa.int32())})

VALID = {
    "a.npy": _saved(np.save, _TABLE),
    "b.npy": _saved(np.save, np.zeros((3, 4, 5), np.uint8)),
    "a.npz": _saved(np.savez, x=_TABLE, y=np.arange(4)),
    "b.npz": _saved(np.savez_compressed, images=np.zeros((3, 4, 5), np.uint8)),
    "a.idx": _IDX,
    "a.idx.gz": gzip.compress(_IDX),
    "a.csv": b"a,b\n1,2\n3,4\n5.5,-6e3\n",
    "b.csv": b'1;"2"\n3;4\n',
    "a.csv.gz": gzip.compress(b"a,b\n1,2\n3,4\n"),
    "a.parquet": _saved(lambda file: pq.write_table(_ARROW, file)),
    "a.png": _saved(Image.fromarray(_IMAGE).save, "png"),
    "b.png": _saved(Image.fromarray(_IMAGE).quantize(8).save, "png"),
    "a.jpg": _saved(Image.fromarray(_IMAGE).save, "jpeg"),
    "a.gif": _saved(Image.fromarray(_IMAGE).save, "gif"),
    "a.bmp": _saved(Image.fromarray(_IMAGE).save, "bmp"),
    "a.tiff": _saved(Image.fromarray(_IMAGE).save, "tiff"),
    "a.webp": _saved(Image.fromarray(_IMAGE).save, "webp"),
    "a.ppm": _saved(Image.fromarray(_IMAGE).save, "ppm"),
}
_TEXT = ("a.csv", "b.csv")


@pytest.fixture(autouse=True, scope="module")
def _traced_memory() -> Iterator[None]:
    """Traces of memory for the whole module: to stop them while a reader's thread ends may crash Python 3.11."""
    tracemalloc.start()
    yield
    tracemalloc.stop()


def _read(path: Path, content: bytes) -> DataSet | None:
    """What is read; None for a DataError that names the file, the only other outcome. Memory stays bounded."""
    path.write_bytes(content)
    data, sentence = None, ""
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    try:
        data = load(str(path))
    except DataError as error:
        sentence = str(error)
    assert tracemalloc.get_traced_memory()[1] - before < _PEAK
    if data is None:
        assert path.name in sentence
        assert len(sentence) < 1000
        return None
    assert len(data) > 0
    assert np.isfinite(data.x).all()
    return data


@pytest.mark.parametrize("name", VALID)
def test_valid_file_is_read(tmp_path, name):
    assert _read(tmp_path / name, VALID[name]) is not None


@pytest.mark.parametrize("name", VALID)
def test_every_prefix_is_read_or_refused(tmp_path, name):
    content = VALID[name]
    step = 1 + len(content) // 60
    whole = _read(tmp_path / name, content)
    read = [_read(tmp_path / name, content[:end]) for end in range(0, len(content), step)]
    if name not in _TEXT:
        # Some formats end in bytes that carry no pixels: without them the image is still the whole image.
        assert all(part is None or (part.x == whole.x).all() for part in read)
        assert read.count(None) >= 0.7 * len(read)


@pytest.mark.parametrize("name", VALID)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_mutation_is_read_or_refused(tmp_path, name, data):
    content = bytearray(VALID[name])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        new = data.draw(
            st.sampled_from([b"\xff", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"]) | st.binary(max_size=9)
        )
        content[at : at + data.draw(st.sampled_from([0, len(new)]))] = new
    _read(tmp_path / name, bytes(content))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300), st.sampled_from(sorted(VALID)))
def test_noise_is_read_or_refused(tmp_path, content, name):
    _read(tmp_path / name, content)


@pytest.mark.parametrize("reader", [read_binary_batch, read_python_batch])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=300))
def test_noise_in_place_of_a_cifar_batch_is_refused(tmp_path, reader, content):
    (tmp_path / "batch").write_bytes(content)
    with pytest.raises(DataError, match="batch"):
        reader(tmp_path / "batch")
