"""The benchmark of images: what a cell is, one small cell done, and the table of those that are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import images
import pytest
from cells import Cells

from pushforward.data import load


def arguments(*words: str) -> Any:
    return images.parse_arguments([*words])


def test_a_variational_cell_is_the_same_flow_with_another_dequantisation() -> None:
    data = load("digits")
    plain, variational = (images.wanted_cell(data, name, arguments()) for name in ("flowpp", "flowpp-variational"))
    assert plain["flow_options"]["dequantisation"] == "uniform"
    assert variational["flow_options"] == {**plain["flow_options"], "dequantisation": "variational"}
    assert plain["options"] != variational["options"]
    assert plain["training"] == variational["training"]


def test_a_cell_is_done_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = load("digits").take(range(80))
    cell = images.wanted_cell(data, "nice", arguments("--minutes", "0.01"))
    cells = Cells(tmp_path / "images.jsonl", images.KEY)
    for _ in range(2):
        images.work(cells, cell, data)
    assert capsys.readouterr().out.count("bits/dim") == 1
    (line,) = cells.lines()
    assert (line["kind"], line["dequantisation"], line["test_rows"]) == ("bound", "uniform", 8)
    assert line["history"][0][1] > 0
    assert len(list(tmp_path.glob("*.png"))) == 1
    assert "| nice | uniform |" in images.markdown([line])
    drawn = images.sheet(cells, arguments("--minutes", "0.01", "--out", str(tmp_path)))
    assert len(drawn.getcolors(maxcolors=256**3)) > 10
    with pytest.raises(SystemExit, match="holds no models of mnist"):
        images.sheet(cells, arguments("--data", "mnist", "--out", str(tmp_path)))


def test_the_table_sorts_flows_and_shows_the_best_so_far() -> None:
    line = {
        "data": "d",
        "device": "cpu",
        "minutes": 4.0,
        "dequantisation": "uniform",
        "kind": "bound",
        "parameters": 1000,
        "standard_error": 0.01,
    }
    history = [(0.5, 3.0), (1.5, 2.0), (1.9, 2.5), (3.5, None)]
    lines = [
        {**line, "flow": "a", "bits": 9.0, "history": []},
        {**line, "flow": "b", "bits": 8.0, "history": []},
        {**line, "flow": "a", "bits": 1.9, "history": history, "kind": "estimate"},
    ]
    rows = images.markdown(lines).splitlines()[4:]
    assert rows == [
        "| a | uniform | estimate of a bound | 1,000 | 3.000 | 2.000 | 2.000 | 1.900 ± 0.010 |",
        "| b | uniform | bound | 1,000 | – | – | – | 8.000 ± 0.010 |",
    ]


def test_a_flow_that_is_not_known_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        arguments("--flows", "glow,glowing")
    assert "'glowing' is not known" in capsys.readouterr().err
