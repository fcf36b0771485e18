"""Peak memory of `FlowDensity.fit` on a file, above that of the imports, beside the size of the table in memory.

    python benchmarks/large_files.py --rows 2000000 --max-rows 50000 200000 --seconds 30

Writes a table of eight columns (five of numbers, of which one has zeros, one gaps and one a wild value, a column of
counts, two of text, in which one label occurs once) as a Parquet file, block by block, and fits it in a process of its
own for each number of rows to hold. Then the row with the rare label is scored.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet

_BLOCK = 1 << 17
_CITIES = [f"Metropolitan Borough {name} and Surroundings" for name in ("of North", "of South", "of East", "of West")]
_PROGRAM = """
import json, resource, sys, time, warnings
import numpy as np
import pyarrow.dataset, pyarrow.parquet
from pushforward import FlowDensity

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

path, most, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
# A fit of a few rows imports all that a fit needs.
FlowDensity(max_steps=2).fit(np.random.default_rng(0).normal(size=(300, 2)))
base, started = peak(), time.monotonic()
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    model = FlowDensity(max_seconds=seconds).fit(path, max_rows=most or None)
found = {"base": base, "above": peak() - base, "seconds": time.monotonic() - started}
rare = pyarrow.parquet.read_table(path, filters=[("city", "=", "Rare Village on the Border")])
print(json.dumps({**found, "rare": model.score_samples(rare).tolist(), "told": [str(w.message) for w in told][-1:]}))
"""


def table_block(rng: np.random.Generator, first: int, rows: int) -> Any:
    """Rows of the table from number ``first`` on."""
    z, group = rng.normal(size=(rows, 3)), rng.integers(0, 4, rows)
    a = z[:, 0] + group
    gaps = rng.standard_t(4, rows)
    gaps[rng.random(rows) < 0.05] = np.nan
    city = np.asarray(_CITIES, dtype=object)[group]
    rare = 1_234_567 - first
    if 0 <= rare < rows:
        city[rare], a[rare - 1] = "Rare Village on the Border", 1e6
    columns = {
        "a": a,
        "b": np.exp(0.5 * z[:, 1] + 0.3 * z[:, 0]),
        "c": np.maximum(z[:, 2] + 0.4 * z[:, 0], 0),
        "d": gaps,
        "e": rng.normal(size=rows) * np.exp(0.2 * z[:, 1]),
        "count": rng.poisson(np.exp(0.5 * z[:, 0] + 1)),
        "city": city,
        "owner": np.where(z[:, 1] > 1, "owned by the cooperative society", "owned by a private person"),
    }
    return pyarrow.table({name: pyarrow.array(values, from_pandas=True) for name, values in columns.items()})


def write_table(path: Path, rows: int) -> float:
    """Write the table; returns its size in memory in MiB."""
    rng, size = np.random.default_rng(0), 0
    with pyarrow.parquet.ParquetWriter(path, table_block(rng, 0, 10).schema) as writer:
        for first in range(0, rows, _BLOCK):
            block = table_block(rng, first, min(_BLOCK, rows - first))
            writer.write_table(block)
            size += block.nbytes
    return size / 2**20


def parse_arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The command line; ``given`` stands in for the program's own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--max-rows", type=int, nargs="+", default=[50_000, 200_000], help="0: the default of the fit")
    parser.add_argument("--seconds", type=float, default=30.0)
    return parser.parse_args(given)


def main() -> None:
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.parquet"
        size = write_table(path, arguments.rows)
        print(f"{arguments.rows:,} rows: {size:.0f} MiB in memory, {path.stat().st_size / 2**20:.0f} MiB on disk")
        print("| rows held | peak above the imports, MiB | of the table | seconds | score of the rarest row | told |")
        print("|---:|---:|---:|---:|---:|---|")
        for most in arguments.max_rows:
            words = [sys.executable, "-c", _PROGRAM, str(path), str(most), str(arguments.seconds)]
            found = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
            score = ", ".join(f"{value:.1f}" for value in found["rare"])
            told = "; ".join(found["told"])
            print(
                f"| {most:,} | {found['above']:.0f} | {found['above'] / size:.0%} | {found['seconds']:.0f} | {score} | "
                f"{told} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
