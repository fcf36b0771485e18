"""Hostile tables for `hostile_tables.py`: in memory, and as the bytes of files."""

from __future__ import annotations

import datetime
import decimal
import io
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet

N = 300


@dataclass(frozen=True)
class Case:
    """A table: in memory, or the bytes of a file with this ending.

    kinds: hints by column. target: the column that a regressor predicts, given the others; None for a density.
    new: a table to score beside that of the fit.
    """

    make: Callable[[], Any]
    ending: str = ""
    kinds: dict[str, str] = field(default_factory=dict)
    target: str | None = None
    new: Callable[[], Any] | None = None


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def _x(rows: int = N, seed: int = 0) -> Any:
    return _rng(seed).normal(size=rows)


def _some(values: list[Any], rows: int = N) -> list[Any]:
    return [values[i] for i in _rng(7).integers(0, len(values), rows)]


def _arrow(**columns: Any) -> pyarrow.Table:
    return pyarrow.table({name: pyarrow.array(column, from_pandas=True) for name, column in columns.items()})


def _mapping(**columns: Any) -> Callable[[], Any]:
    return lambda: dict(columns)


def _dates(first: datetime.date) -> list[datetime.date]:
    return [first + datetime.timedelta(days=int(day)) for day in _rng(3).integers(0, 300, N)]


def _one_hot() -> dict[str, Any]:
    place = _rng(4).integers(0, 4, N)
    return {f"is_{k}": (place == k).astype(int) for k in range(4)} | {"y": _x() + place}


def _wild(value: float) -> Any:
    column = _x()
    column[17] = value
    return column


def _spiky(fraction: float, *atoms: float) -> Any:
    u = _rng(5).random(N)
    return np.where(u < fraction, np.asarray(atoms)[_rng(6).integers(0, len(atoms), N)], np.abs(_x()) + 0.1)


IN_MEMORY: dict[str, Case] = {
    "no rows": Case(_mapping(x=[], y=[])),
    "no columns": Case(dict),
    "one row": Case(_mapping(x=[1.5], y=["a"])),
    "two rows": Case(_mapping(x=[1.5, 2.5], y=["a", "b"])),
    "three rows": Case(_mapping(x=[1.5, 2.5, 7.0], y=["a", "b", "a"])),
    "all null": Case(lambda: _arrow(x=[None] * N, y=[None] * N)),
    "one column null": Case(lambda: _arrow(x=[None] * N, y=_x())),
    "two equal names": Case(lambda: pyarrow.table([_x(), _x(seed=1)], names=["x", "x"])),
    "names with line breaks, commas, equals": Case(lambda: {"a\nb": _x(), "c,d": _x(seed=1), "e=f": _x(seed=2)}),
    "names in other scripts, one empty": Case(lambda: {"Größe": _x(), "数": _x(seed=1), "": _x(seed=2)}),
    "names with terminal codes": Case(lambda: {"\x1b[31mred": _x(), "[b]x[/b]": _x(seed=1)}),
    "a name of 20,000 letters": Case(lambda: {"n" * 20_000: _x(), "y": _x(seed=1)}),
    "numbers and text in one column": Case(_mapping(x=[1.5, "a"] * 150, y=_x())),
    "numbers and lists in one column": Case(_mapping(x=[1.5, [2]] * 150, y=_x())),
    "integers above 2^53": Case(lambda: {"x": 2**53 + _rng().integers(0, 10**6, N), "y": _x()}),
    "few integers above 2^53": Case(lambda: {"x": _some([2**53 + 1, 2**53 + 2, 2**62]), "y": _x()}),
    "uint64 at its end": Case(lambda: {"x": np.array(_some([2**64 - 1, 2**64 - 2, 5]), np.uint64), "y": _x()}),
    "int8 at its ends": Case(lambda: {"x": _rng().integers(-128, 128, N).astype(np.int8), "y": _x()}),
    "decimals": Case(lambda: _arrow(x=[decimal.Decimal(i % 91) / 7 for i in range(N)], y=_x())),
    "decimals of 38 digits": Case(
        lambda: _arrow(
            x=pyarrow.array([decimal.Decimal(10**30 + i * i) for i in range(N)], pyarrow.decimal128(38, 2)), y=_x()
        )
    ),
    "nested lists": Case(lambda: _arrow(x=[[i, i + 1] for i in range(N)], y=_x())),
    "structs": Case(lambda: _arrow(x=[{"a": i} for i in range(N)], y=_x())),
    "complex numbers": Case(lambda: {"x": _x() + 1j, "y": _x()}),
    "objects": Case(lambda: {"x": [object() for _ in range(N)], "y": _x()}),
    "cells of two dimensions": Case(lambda: {"x": np.zeros((N, 2)), "y": _x()}),
    "three dimensions": Case(lambda: np.zeros((10, 3, 2))),
    "columns of several lengths": Case(_mapping(x=[1.5, 2.5], y=[1.0])),
    "durations": Case(lambda: {"x": (_rng().exponential(5000, N)).astype("m8[ms]"), "y": _x()}),
    "negative durations": Case(lambda: {"x": (5000 * _x()).astype("m8[s]"), "y": _x()}),
    "a time zone": Case(
        lambda: pyarrow.table(
            {
                "x": pyarrow.array(1_700_000_000 + _rng().integers(0, 10**7, N), pyarrow.int64()).cast(
                    pyarrow.timestamp("s", "America/St_Johns")
                ),
                "y": _x(),
            }
        )
    ),
    "dates before 1677": Case(lambda: _arrow(x=_dates(datetime.date(1492, 1, 1)), y=_x())),
    "dates in 9999": Case(lambda: _arrow(x=_dates(datetime.date(9999, 1, 1)), y=_x())),
    "moments as text, with and without seconds": Case(
        lambda: {"x": _some(["2024-01-01T10:00", "2024-01-01T10:00:30", "2024-02-01T00:00"]), "y": _x()}
    ),
    "dates that no calendar has": Case(lambda: {"x": _some(["2024-02-30", "2024-02-20", "2024-13-01"]), "y": _x()}),
    "booleans with gaps": Case(lambda: _arrow(x=_some([True, False, None]), y=_x())),
    "5,000 labels": Case(lambda: {"x": [f"label {i}" for i in _rng().integers(0, 5_000, 20_000)], "y": _x(20_000)}),
    "a label that training lacks": Case(
        lambda: {"x": _some(["a", "b", "c"]), "y": _x()}, new=lambda: {"x": ["a", "zebra"], "y": [0.0, 0.0]}
    ),
    "a score of text where numbers were": Case(
        lambda: {"x": _x(), "y": _x(seed=1)}, new=lambda: {"x": ["a", "b"], "y": [0.0, 0.0]}
    ),
    "a score without a column": Case(lambda: {"x": _x(), "y": _x(seed=1)}, new=lambda: {"x": [0.0]}),
    "a score of gaps, infinity and 1e300": Case(
        lambda: {"x": _x(), "y": _x(seed=1)}, new=lambda: {"x": [np.nan, np.inf, 1e300], "y": [0.0, 0.0, 0.0]}
    ),
    "constant but one": Case(lambda: {"x": np.r_[np.zeros(N - 1), 1.0], "y": _x()}),
    "constant but one text": Case(lambda: {"x": ["a"] * (N - 1) + ["b"], "y": _x()}),
    "all constant": Case(lambda: {"x": np.zeros(N), "y": ["a"] * N}),
    "exact copies": Case(lambda: {"x": _x(), "y": _x(), "z": 2 * _x() + 1, "w": _x(seed=1)}),
    "a linear combination": Case(lambda: {"x": _x(), "y": _x(seed=1), "z": 2 * _x() - 3 * _x(seed=1) + 1}),
    "a sum of integers": Case(
        lambda: {
            "x": (a := _rng().integers(0, 90, N)),
            "y": (b := _rng(1).integers(0, 90, N)),
            "z": a + b,
        }
    ),
    "all rows equal but two": Case(lambda: {"x": np.r_[np.ones(N - 2), 2.5, 3.5], "y": np.r_[np.ones(N - 1), 9.5]}),
    "sorted rows": Case(lambda: {"x": np.sort(_x()), "y": np.sort(_x(seed=1))}),
    "weights below zero": Case(lambda: {"x": _x(), "w": np.r_[-1.0, np.ones(N - 1)]}, kinds={"w": "weight"}),
    "weights all zero": Case(lambda: {"x": _x(), "w": np.zeros(N)}, kinds={"w": "weight"}),
    "weights with NaN": Case(lambda: {"x": _x(), "w": np.r_[np.nan, np.ones(N - 1)]}, kinds={"w": "weight"}),
    "weights of 1e-300": Case(lambda: {"x": _x(), "w": np.full(N, 1e-300)}, kinds={"w": "weight"}),
    "one weight above zero": Case(lambda: {"x": _x(), "w": np.r_[1.0, np.zeros(N - 1)]}, kinds={"w": "weight"}),
    "infinities on both sides": Case(lambda: {"x": np.where(_x() > 1, np.inf, np.where(_x() < -1, -np.inf, _x()))}),
    "one infinity": Case(lambda: {"x": _wild(np.inf), "y": _x(seed=1)}),
    "nothing but infinities": Case(lambda: {"x": np.where(_x() > 0, np.inf, -np.inf), "y": _x()}),
    "denormals": Case(lambda: {"x": 1e-310 * _x(), "y": _x(seed=1)}),
    "units of 1e-40": Case(lambda: {"x": 1e-40 * _x(), "y": _x(seed=1)}),
    "units of 1e200": Case(lambda: {"x": 1e200 * _x(), "y": _x(seed=1)}),
    "units of 1e300": Case(lambda: {"x": 1e300 * _x(), "y": _x(seed=1)}),
    "float32 at its ends": Case(lambda: {"x": (1e38 * _x()).astype(np.float32), "y": _x(seed=1)}),
    "float16": Case(lambda: {"x": _x().astype(np.float16), "y": _x(seed=1)}),
    "one wild value of 1e9": Case(lambda: {"x": _wild(1e9), "y": _x(seed=1)}),
    "one wild value of 1e290": Case(lambda: {"x": _wild(1e290), "y": _x(seed=1)}),
    "clusters 1e12 apart": Case(lambda: {"x": np.r_[_x(150), _x(150, 1) + 1e12], "y": _x(seed=1)}),
    "numbers near 1e16": Case(lambda: {"x": 1e16 + 2 * _rng().integers(0, 5000, N), "y": _x()}),
    "sentinels -999 and 9999": Case(lambda: {"x": np.r_[_x(N - 40), [-999.0] * 20, [9999.0] * 20], "y": _x(seed=1)}),
    "99 % zeros": Case(lambda: {"x": np.where(_rng().random(3000) < 0.99, 0.0, _x(3000)), "y": _x(3000, 1)}),
    "two atoms": Case(lambda: {"x": _spiky(0.5, 0.0, 1.5), "y": _x()}),
    "an atom among integers": Case(
        lambda: {"x": np.where(_rng().random(N) < 0.3, 50, _rng(1).integers(0, 101, N)), "y": _x()}
    ),
    "integers with gaps between them": Case(lambda: {"x": _rng().integers(0, 60, N) * 7 + 3, "y": _x()}),
    "one-hot columns": Case(_one_hot),
    "ids and noise": Case(lambda: {"id": np.arange(N), "user_id": 10**6 + _rng().permutation(N), "y": _x()}),
    "nothing but ids": Case(lambda: {"id": np.arange(N), "name": [f"n{i}" for i in range(N)]}),
    "uuids": Case(lambda: {"key": [str(uuid.UUID(int=int(i) ** 9)) for i in range(2, N + 2)], "y": _x()}),
    "free text": Case(lambda: {"note": [f"call {i} back, it's \n late" for i in range(N)], "y": _x()}),
    "text of 100,000 letters": Case(lambda: {"x": _some(["a" * 100_000, "b"]), "y": _x()}),
    "dictionary columns": Case(lambda: pyarrow.table({"x": pyarrow.array(_some(list("abc"))).dictionary_encode()})),
    "a dictionary of numbers": Case(
        lambda: pyarrow.table({"x": pyarrow.array(_some([1.5, 2.5, 7.5])).dictionary_encode(), "y": _x()})
    ),
    "nothing but categories": Case(
        lambda: {"a": _some(list("abc")), "b": _some(["x", "y"]), "c": _some([True, False])}
    ),
    "categories that determine each other": Case(
        lambda: {"a": (a := _some(list("abc"))), "b": [letter.upper() for letter in a], "y": _x()}
    ),
    "more columns than rows": Case(lambda: _rng().normal(size=(12, 40))),
    "120 columns": Case(lambda: _rng().normal(size=(400, 120))),
    "bytes that are no text": Case(lambda: {"x": [b"\xff", b"\xfe"] * 150, "y": _x()}),
    "numbers in text": Case(lambda: {"x": [f"{value:.3f}" for value in _x()], "y": _x(seed=1)}),
    "percent signs": Case(lambda: {"x": [f"{value:.1f}%" for value in _x()], "y": _x(seed=1)}),
    "currency": Case(lambda: {"x": [f"${value:.2f}" for value in np.exp(_x())], "y": _x(seed=1)}),
    "angles out of their period": Case(
        lambda: {"a": _rng().uniform(-900, 900, N), "y": _x()}, kinds={"a": "period:0:360"}
    ),
    "a bound that data break": Case(lambda: {"x": _x()}, kinds={"x": "bounded:0:1"}),
    "a hint for a column that is not there": Case(lambda: {"x": _x()}, kinds={"z": "positive"}),
    "a misspelt hint": Case(lambda: {"x": _x()}, kinds={"x": "positve"}),
    "a target that is missing": Case(lambda: {"x": _x()}, target="y"),
    "a constant target": Case(lambda: {"x": _x(), "y": np.ones(N)}, target="y"),
    "a target of text": Case(lambda: {"x": _x(), "y": _some(list("ab"))}, target="y"),
    "a target with gaps": Case(lambda: {"x": _x(), "y": np.where(_x() > 1, np.nan, _x(seed=1))}, target="y"),
    "a target with an infinity": Case(lambda: {"x": _x(), "y": _wild(np.inf)}, target="y"),
    "a target that is a copy of a feature": Case(lambda: {"x": _x(), "y": _x()}, target="y"),
    "a target with an atom": Case(lambda: {"x": _x(seed=2), "y": _spiky(0.5, 0.0)}, target="y"),
    "a target of 1e200": Case(lambda: {"x": _x(), "y": 1e200 * (_x() + _x(seed=1))}, target="y"),
    "features with infinities": Case(lambda: {"x": _wild(np.inf), "y": _x(seed=1)}, target="y"),
    "features that are all constant": Case(lambda: {"x": np.ones(N), "y": _x(seed=1)}, target="y"),
    "a regression of two rows": Case(lambda: {"x": [1.0, 2.0], "y": [1.0, 3.0]}, target="y"),
}


def _csv(*lines: str, **options: Any) -> Callable[[], bytes]:
    encoding, end = options.get("encoding", "utf-8"), options.get("end", "\n")
    return lambda: (end.join(lines) + end).encode(encoding)


def _lines(pattern: str, rows: int = 120) -> list[str]:
    numbers = _rng(8).normal(size=(rows, 3)).round(3)
    return [pattern.format(*row, n=i, k=abs(int(100 * row[0])), t="abc"[i % 3]) for i, row in enumerate(numbers)]


def _parquet(table: Callable[[], pyarrow.Table]) -> Callable[[], bytes]:
    def write() -> bytes:
        stream = io.BytesIO()
        pyarrow.parquet.write_table(table(), stream)
        return stream.getvalue()

    return write


def _text(pattern: str, header: str = "a,b,c", **options: Any) -> Case:
    return Case(lambda: _csv(header, *_lines(pattern), **options)(), "csv")


FILES: dict[str, Case] = {
    "an empty file": Case(lambda: b"", "csv"),
    "a header alone": Case(_csv("a,b,c"), "csv"),
    "a header and one row": Case(_csv("a,b,c", "1,2,3"), "csv"),
    "no header": Case(lambda: _csv(*_lines("{0},{1},{2}"))(), "csv"),
    "no header, a typo in the first row": Case(lambda: _csv("0.1,0.2,0.3x", *_lines("{0},{1},{2}"))(), "csv"),
    "a header of years": Case(lambda: _csv("2019,2020,2021", *_lines("{0},{1},{2}"))(), "csv"),
    "a byte order mark": _text("{0},{1},{2}", encoding="utf-8-sig"),
    "UTF-16": _text("{0},{1},{2}", encoding="utf-16"),
    "Latin-1": _text("{0},{1},München", encoding="latin-1"),
    "carriage returns": _text("{0},{1},{2}", end="\r\n"),
    "old Mac line ends": _text("{0},{1},{2}", end="\r"),
    "quoted line breaks": _text('{0},{1},"line one\nline {t}"'),
    "an open quote": _text('{0},{1},"{2}'),
    "ragged rows": Case(lambda: _csv("a,b,c", *_lines("{0},{1},{2}"), "1,2")(), "csv"),
    "rows with more cells than names": _text("{0},{1},{2},{0}"),
    "semicolons": _text("{0};{1};{2}", "a;b;c"),
    "semicolons and decimal commas": Case(
        lambda: _csv("a;b", *[line.replace(".", ",") for line in _lines("{0};{1}")])(), "csv"
    ),
    "tabs in a csv": _text("{0}\t{1}\t{2}", "a\tb\tc"),
    "a tsv": Case(lambda: _csv("a\tb", *_lines("{0}\t{1}"))(), "tsv"),
    "decimal points and commas mixed": Case(
        lambda: _csv("a;b", *[line.replace(".", ",", i % 2) for i, line in enumerate(_lines("{0};{1}"))])(), "csv"
    ),
    "thousands separators": _text('{0},"{k},000"', "a,b"),
    "percent signs in a file": _text("{0},{k}%", "a,b"),
    "currency in a file": _text("{0},${k}.00", "a,b"),
    "NA as a gap": Case(lambda: _csv("a,b", *_lines("{0},{1}"), *["NA,1.5", "0.5,NA"] * 9)(), "csv"),
    "? as a gap": Case(lambda: _csv("a,b", *_lines("{0},{1}"), *["?,1.5", "0.5,?"] * 9)(), "csv"),
    "- as a gap": Case(lambda: _csv("a,b", *_lines("{0},{1}"), *["-,1.5", "0.5,-"] * 9)(), "csv"),
    "one typo in 120 numbers": Case(lambda: _csv("a,b", *_lines("{0},{1}"), "1.5O,2.0")(), "csv"),
    "inf in a file": Case(lambda: _csv("a,b", *_lines("{0},{1}"), "inf,2.0", "1.0,-inf")(), "csv"),
    "1e-40 in a file": _text("{0}e-40,{1}", "a,b"),
    "1e200 in a file": _text("{0}e200,{1}", "a,b"),
    "1e400 in a file": Case(lambda: _csv("a,b", *_lines("{0},{1}"), "1e400,2.0")(), "csv"),
    "1e9 in a file": Case(lambda: _csv("a,b", *_lines("{0},{1}"), "1e9,2.0")(), "csv"),
    "equal names in a file": _text("{0},{1},{2}", "a,b,a"),
    "empty names in a file": _text("{0},{1},{2}", "a,,"),
    "a row number without a name": _text("{n},{0},{1}", ",a,b"),
    "comments": Case(lambda: _csv("# made by hand", "a,b", *_lines("{0},{1}"))(), "csv"),
    "blank lines": Case(lambda: _csv("a,b", "", *_lines("{0},{1}"), "", "")(), "csv"),
    "one column": _text("{0}", "a"),
    "NUL bytes": _text("{0},{1}\0,{2}"),
    "binary under the name of a csv": Case(lambda: bytes(range(256)) * 40, "csv"),
    "html under the name of a csv": Case(_csv("<!DOCTYPE html>", "<html><body>404</body></html>"), "csv"),
    "text under the name of a parquet": Case(_csv("a,b", "1,2"), "parquet"),
    "parquet booleans": Case(_parquet(lambda: _arrow(x=_some([True, False]), y=_x())), "parquet"),
    "parquet without rows": Case(_parquet(lambda: _arrow(x=_x()[:0], y=_x()[:0])), "parquet"),
    "parquet without columns": Case(_parquet(lambda: pyarrow.table({})), "parquet"),
    "parquet with lists": Case(_parquet(lambda: _arrow(x=[[1.0]] * N, y=_x())), "parquet"),
    "parquet with a column of null": Case(_parquet(lambda: _arrow(x=[None] * N, y=_x())), "parquet"),
    "parquet dictionaries and dates": Case(
        _parquet(
            lambda: pyarrow.table(
                {
                    "x": pyarrow.array(_some(list("abc"))).dictionary_encode(),
                    "when": _dates(datetime.date(2020, 1, 1)),
                    "y": _x(),
                }
            )
        ),
        "parquet",
    ),
    "a parquet cut off": Case(lambda: _parquet(lambda: _arrow(x=_x(), y=_x(seed=1)))()[:800], "parquet"),
}
CASES = IN_MEMORY | FILES
