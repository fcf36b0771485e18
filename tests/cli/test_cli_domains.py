"""Values that a flow cannot take are named by file, row and column before training; periods wrap where asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_models import SMALL, Run, write_csv

N = 40
_FLOW = ("--flow", "circular_nsf", "--option", "low=0", "--option", "high=360", *SMALL)


def _angles(path: Path, far: float | None = None) -> Path:
    rng = np.random.default_rng(0)
    angle = np.round(rng.normal(350, 20, N) % 360, 3)
    if far is not None:
        angle[[11, 20]] += far
    return write_csv(path, {"speed": rng.normal(size=N), "angle": angle})


def test_a_value_outside_is_named_before_training(run: Run, tmp_path: Path) -> None:
    path = _angles(tmp_path / "a.csv", 360)
    for column in ("angle", "1"):
        code, _, err = run("fit", path, "--out", tmp_path / "m", *_FLOW, "--option", f"circular={column}")
        assert code == 3, err
        assert "a.csv: row 12 has the value" in err
        assert "a period from 0 to 360 in column 'angle'; 2 of 40 rows have such values" in err
        assert not (tmp_path / "m").exists()


def test_the_row_is_that_of_the_file_where_rows_are_drawn_or_come_from_a_test_file(run: Run, tmp_path: Path) -> None:
    path, good = _angles(tmp_path / "a.csv", 360), _angles(tmp_path / "b.csv")
    words = ("--out", tmp_path / "m", *_FLOW, "--option", "circular=angle")
    for limit in range(20, 40, 5):
        err = run("fit", path, "--limit", limit, *words)[2]
        assert "a.csv: row 12 has" in err or "a.csv: row 21 has" in err, err
    assert "b.csv: test row 12 has" in run("fit", good, "--test", path, *words)[2]


@pytest.mark.parametrize("name", ["angel", "angle,angel"])
def test_a_column_that_is_not_there_is_named_with_the_nearest(run: Run, tmp_path: Path, name: str) -> None:
    path = _angles(tmp_path / "a.csv")
    code, _, err = run("fit", path, "--out", tmp_path / "m", *_FLOW, "--option", f"circular={name}")
    assert (code, "option circular: there is no column 'angel'; did you mean angle" in err) == (2, True)


def test_periodic_values_are_wrapped_where_that_is_asked(run: Run, tmp_path: Path) -> None:
    plain, turned = _angles(tmp_path / "a.csv"), _angles(tmp_path / "b.csv", 720)
    wrap, scores = ("--option", "circular=angle", "--option", "wrap=true"), []
    for path in (plain, turned):
        assert run("fit", path, "--out", tmp_path / path.stem, *_FLOW, *wrap)[0] == 0
        scores.append(run("score", tmp_path / path.stem, path, "--part", "test"))
        assert run("report", tmp_path / path.stem, path)[0] == 0
    values = [[float(line.split(",")[1]) for line in out.splitlines()[1:]] for _, out, _ in scores]
    assert np.allclose(*values, atol=1e-3)


def test_a_density_of_zero_is_explained(run: Run, tmp_path: Path) -> None:
    plain, turned = _angles(tmp_path / "a.csv"), _angles(tmp_path / "b.csv", 720)
    assert run("fit", plain, "--out", tmp_path / "m", *_FLOW, "--option", "circular=angle")[0] == 0
    code, out, err = run("score", tmp_path / "m", turned)
    assert code == 0
    assert out.count("-inf") == 2
    assert "note: b.csv: row 12 has the value" in err
    assert "a period from 0 to 360 in column 'angle'" in err
