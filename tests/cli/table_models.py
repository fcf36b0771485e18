"""Small tables with columns of every kind, and what is called to fit them in a second."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.csv
import pyarrow.parquet

QUICK = ("--minutes", "0.01", "--no-report")


def shops(rows: int = 240) -> pyarrow.Table:
    """Numbers, labels, dates, truth values, gaps, a constant and weights of a made-up table of shops."""
    rng = np.random.default_rng(0)
    size = np.round(np.exp(rng.normal(4, 0.5, rows)), 3)
    income = np.round(40 * size * np.exp(rng.normal(0, 0.2, rows)), 2)
    days = np.datetime64("2024-01-01") + rng.integers(0, 700, rows)
    return pyarrow.table(
        {
            "size": pyarrow.array(size, mask=rng.random(rows) < 0.1),
            "income": income,
            "staff": rng.poisson(size / 20),
            "town": np.where(size > 60, "Lyon", "Nice"),
            "open": rng.random(rows) < 0.8,
            "since": pyarrow.array(days.astype("datetime64[D]").astype(str).tolist()),
            "country": ["FR"] * rows,
            "weight": rng.integers(1, 4, rows).astype(float),
        }
    )


def write_shops(path: Path, table: pyarrow.Table | None = None) -> Path:
    """The table in a file whose ending selects the format."""
    table = shops() if table is None else table
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(table, path)
        return path
    options = pyarrow.csv.WriteOptions(delimiter="\t" if path.suffix == ".tsv" else ",", quoting_style="needed")
    pyarrow.csv.write_csv(table, path, options)
    return path
