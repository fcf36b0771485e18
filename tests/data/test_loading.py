import os

import numpy as np
import pytest

from pushforward.data import load, toys
from pushforward.errors import DataError, OptionError


@pytest.mark.parametrize("name", toys.TOYS)
def test_a_toy_is_a_table_of_10000_rows(name):
    data = load(name)
    assert data.x.shape == (10_000, 2)
    assert data.columns == ("x", "y")
    assert (data.x == toys.sample(name, 10_000, seed=0)).all()
    assert load(name, limit=7, seed=5).x.tolist() == toys.sample(name, 7, seed=5).tolist()


def test_a_toy_s_coordinate_can_be_context():
    data = load("spirals", context=["x"])
    assert data.columns == ("y",)
    assert data.context_columns == ("x",)


def test_limit_draws_rows_of_a_file_by_seed(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(100.0)[:, None])
    path = str(tmp_path / "a.npy")
    rows = load(path, limit=10, seed=1).x[:, 0]
    assert len(set(rows)) == 10
    assert (np.diff(rows) > 0).all()
    assert (rows != load(path, limit=10, seed=2).x[:, 0]).any()


def test_levels_belong_to_the_file_and_not_to_the_rows_drawn(tmp_path):
    x = np.zeros((50, 4, 4), np.uint8)
    x[7] = 200
    np.save(tmp_path / "a.npy", x)
    assert {load(str(tmp_path / "a.npy"), limit=1, seed=seed).levels for seed in range(5)} == {256}


def test_bits_keep_the_leading_ones(tmp_path):
    x = np.arange(256, dtype=np.uint8).reshape(4, 8, 8)
    np.save(tmp_path / "a.npy", x)
    data = load(str(tmp_path / "a.npy"), bits=5)
    assert data.levels == 32
    assert (data.x[:, 0] == x // 8).all()
    assert load(str(tmp_path / "a.npy"), bits=1).levels == 2
    assert (load(str(tmp_path / "a.npy"), bits=8).x[:, 0] == x).all()


def test_images_of_an_array_are_cropped_resized_and_greyed(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (3, 10, 12, 3)).astype(np.uint8)
    np.save(tmp_path / "a.npy", x)
    data = load(str(tmp_path / "a.npy"), crop=(1, 9, 2, 10), resize=4, grey=True)
    assert data.x.shape == (3, 1, 4, 4)
    cropped = load(str(tmp_path / "a.npy"), crop=(1, 9, 2, 12))
    assert (cropped.x == x[:, 1:9, 2:12].transpose(0, 3, 1, 2)).all()


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("digits", {"bits": 5}, DataError, "256 levels expected, but digits has 17"),
        ("digits", {"bits": 0}, OptionError, "1 to 8"),
        ("digits", {"bits": 9}, OptionError, "1 to 8"),
        ("digits", {"limit": 0}, OptionError, "limit"),
        ("two-moons", {"limit": -5}, OptionError, "limit"),
        ("two-moons", {"limit": 10**12}, DataError, "GiB"),
        ("digits", {"resize": 0}, OptionError, "resize"),
        ("digits", {"crop": (0, 9, 0, 8)}, DataError, "beyond the image of 8 x 8"),
        ("digits", {"columns": ["a"]}, OptionError, "columns: this option is for tables"),
        ("digits", {"context": ["a"]}, OptionError, "context: this option is for tables"),
        ("two-moons", {"bits": 5}, OptionError, "bits: this option is for images"),
        ("two-moons", {"resize": 5}, OptionError, "resize: this option is for images"),
        ("two-moons", {"crop": (0, 1, 0, 1)}, OptionError, "crop: this option is for images"),
        ("two-moons", {"grey": True}, OptionError, "grey: this option is for images"),
        ("two-moons", {"columns": ["z"]}, DataError, "column 'z'"),
    ],
)
def test_options_that_do_not_fit_are_refused(name, options, error, message):
    with pytest.raises(error, match=message):
        load(name, **options)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("minst", "did you mean mnist"),
        ("TWO-MOONS", "did you mean two-moons"),
        ("qqqqqq", "neither a named data set nor a file here; `pushforward data`"),
        ("missing.csv", r"missing\.csv: no such file"),
        ("nowhere/missing", "no such file"),
        ("a\0b", "neither a named"),
        ("", "neither|no images"),
        ("x" * 100_000, "neither a named"),
    ],
)
def test_names_that_are_not_there_get_a_sentence(name, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=message) as caught:
        load(name)
    assert len(str(caught.value)) < 500


def test_files_that_are_no_data_get_a_sentence(tmp_path):
    (tmp_path / "a.pkl").write_bytes(b"x")
    with pytest.raises(DataError, match=r"a\.pkl: unknown file ending"):
        load(str(tmp_path / "a.pkl"))
    os.mkfifo(tmp_path / "a.csv")
    with pytest.raises(DataError, match="a folder or a device"):
        load(str(tmp_path / "a.csv"))
    (tmp_path / "b.npy").symlink_to("/dev/zero")
    with pytest.raises(DataError, match="a folder or a device"):
        load(str(tmp_path / "b.npy"))


def test_a_sparse_file_of_a_terabyte_is_refused_before_it_is_read(tmp_path):
    for name in ("a.npy", "a.csv", "a.idx", "a.npz", "a.parquet", "a.png"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(1 << 40)
        with pytest.raises(DataError, match=r"1,024\.0 GiB of data, at most 8 GiB"):
            load(str(tmp_path / name))


def test_the_rows_of_a_test_file_are_the_test_part(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(40.0).reshape(20, 2))
    np.save(tmp_path / "b.npy", np.arange(6.0).reshape(3, 2))
    data = load(str(tmp_path / "a.npy"), test=str(tmp_path / "b.npy"), limit=10, columns=["x1"])
    assert (len(data), data.test_rows.tolist()) == (13, [10, 11, 12])
    assert data.x[10:, 0].tolist() == [1.0, 3.0, 5.0]


def test_labels_that_are_asked_for_have_to_be_there():
    assert load("digits", labels=True).labels.max() == 9
    with pytest.raises(DataError, match="spirals has no class labels"):
        load("spirals", labels=True)
    with pytest.raises(OptionError, match="labels and context"):
        load("spirals", labels=True, context=["x"])
