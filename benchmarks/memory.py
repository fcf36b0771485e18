"""Peak memory of `pushforward score` and `pushforward sample` by the number of rows: it must not grow.

    python benchmarks/memory.py --rows 1000000 10000000

Fits a small flow to two columns, writes files of random rows, runs the commands in processes of their own, and prints
the largest resident memory of each, with the ratio of the largest file to the smallest. Exit status 1 where one is
above 1.05.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.csv
import pyarrow.parquet

_BLOCK = 1 << 18
_ALLOWED = 1.05


def write_rows(path: Path, rows: int, seed: int = 0) -> None:
    """A file of ``rows`` rows of two columns, written in blocks."""
    chance = np.random.default_rng(seed)
    schema = pyarrow.schema([("a", pyarrow.float64()), ("b", pyarrow.float64())])
    make: Callable[..., Any] = pyarrow.csv.CSVWriter if path.suffix == ".csv" else pyarrow.parquet.ParquetWriter
    with make(path, schema) as writer:
        for start in range(0, rows, _BLOCK):
            block = chance.normal(size=(2, min(_BLOCK, rows - start)))
            writer.write_table(pyarrow.table({"a": block[0], "b": block[1]}))


def peak(*words: object) -> tuple[float, float]:
    """The largest resident memory of a command in MiB, and its seconds. Raises SystemExit where it fails."""
    started = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "pushforward", *map(str, words)], stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"pushforward {' '.join(map(str, words))} ended with {process.returncode}")
    return usage.ru_maxrss / 1024, time.monotonic() - started


def measure(folder: Path, commands: list[str], rows: list[int], endings: list[str]) -> bool:
    """Measure all commands; returns whether the memory of each is flat."""
    model = folder / "model"
    write_rows(folder / "train.csv", 2000)
    small = ("--option", "transforms=2", "--option", "hidden=8", "--steps", 20, "--no-report")
    peak("fit", folder / "train.csv", "--flow", "nice", *small, "--out", model)
    flat = True
    print("| command | rows | peak MiB | seconds |\n|---|---:|---:|---:|")
    for command in commands:
        for ending in endings:
            found = []
            for count in rows:
                out = folder / f"out.{ending}"
                if command == "score":
                    file = folder / f"in.{ending}"
                    write_rows(file, count, seed=1)
                    size, seconds = peak("score", model, file, "--out", out, "--force")
                else:
                    size, seconds = peak("sample", model, "-n", count, "--out", out, "--force")
                found.append(size)
                print(f"| {command} {ending} | {count:,} | {size:.1f} | {seconds:.0f} |", flush=True)
            ratio = found[-1] / found[0]
            print(f"| {command} {ending} | ratio | {ratio:.3f} | |", flush=True)
            flat = flat and ratio <= _ALLOWED
    return flat


def parse_arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--endings", nargs="+", default=["parquet", "csv"], choices=["parquet", "csv"])
    parser.add_argument("--commands", nargs="+", default=["score", "sample"], choices=["score", "sample"])
    return parser.parse_args(given)


def main() -> int:
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as folder:
        return 0 if measure(Path(folder), arguments.commands, arguments.rows, arguments.endings) else 1


if __name__ == "__main__":
    sys.exit(main())
