"""Seconds and peak memory of a `FlowDensity` of wide or long tables: fit, save, load, scores and samples.

    python benchmarks/wide_tables.py --rows 2000 --columns 230
    python benchmarks/wide_tables.py --rows 1000000 --columns 20 --seconds 120

Five factors make all columns. One in ten holds text of three labels, one in ten has zeros.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from typing import Any

import numpy as np
import pyarrow

from pushforward import FlowDensity

_ROWS = 500


def wide_table(rows: int, columns: int) -> Any:
    """The table, as an Arrow table."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 5)) @ rng.normal(size=(5, columns)) + 0.5 * rng.normal(size=(rows, columns))
    table: dict[str, Any] = {f"c{i}": x[:, i] for i in range(columns)}
    for i in range(0, columns, 10):
        table[f"c{i}"] = np.where(x[:, i] > 0.5, "a", np.where(x[:, i] < -1, "b", "c"))
    for i in range(1, columns, 10):
        table[f"c{i}"] = np.maximum(x[:, i], 0)
    return pyarrow.table(table)


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def parse_arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The command line; ``given`` stands in for the program's own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--columns", type=int, default=230)
    parser.add_argument("--seconds", type=float, default=None, help="the time limit of the fit")
    return parser.parse_args(given)


def main() -> None:
    arguments = parse_arguments()
    table = wide_table(arguments.rows, arguments.columns)
    base, clock = _peak(), time.monotonic()

    def tell(what: str) -> None:
        nonlocal clock
        print(f"{what}: {time.monotonic() - clock:.1f} s, peak {_peak():,.0f} MiB", flush=True)
        clock = time.monotonic()

    print(f"{table.nbytes / 2**20:.0f} MiB; peak before the fit {base:,.0f} MiB")
    model = FlowDensity(max_seconds=arguments.seconds).fit(table)
    tell("fit")
    with tempfile.TemporaryDirectory() as folder:
        model.save(f"{folder}/model")
        again = FlowDensity.load(f"{folder}/model")
    tell("save and load")
    scores = model.score_samples(table.slice(0, _ROWS))
    tell(f"{_ROWS} scores")
    again.sample(_ROWS)
    tell(f"{_ROWS} samples")
    print(f"largest difference after loading: {np.abs(again.score_samples(table.slice(0, _ROWS)) - scores).max():.0e}")
    print(model.model_.members_in_words, *model.model_.notes, sep="\n")


if __name__ == "__main__":
    main()
