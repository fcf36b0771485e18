"""Peak memory of scores and samples by the number of rows: it must not grow.

    python benchmarks/memory.py --rows 1000000 10000000
    python benchmarks/memory.py --rows 1000000 10000000 --model table --endings parquet --commands score python sample

Fits a small flow, or a mixture as the model of a table, to two columns, writes files of random rows, runs `pushforward
score`, `pushforward sample` and `FlowDensity.score_blocks` (python) in processes of their own, and prints the largest
resident memory of each, with the ratio of the largest file to the smallest. Exit status 1 where one is above 1.05.
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
_PYTHON = """
import sys
from pushforward import FlowDensity
print(sum(block.sum() for block in FlowDensity.load(sys.argv[1]).score_blocks(sys.argv[2])))
"""
# The words and the program of each way to score a file.
_SCORING: dict[str, tuple[Callable[[Path, Path, Path], tuple[object, ...]], tuple[str, ...]]] = {
    "score": (lambda model, file, out: ("score", model, file, "--out", out, "--force"), ("-m", "pushforward")),
    "python": (lambda model, file, out: (model, file), ("-c", _PYTHON)),
}


def write_rows(path: Path, rows: int, seed: int = 0) -> None:
    """A file of ``rows`` rows of two columns, written in blocks."""
    rng = np.random.default_rng(seed)
    schema = pyarrow.schema([("a", pyarrow.float64()), ("b", pyarrow.float64())])
    make: Callable[..., Any] = pyarrow.csv.CSVWriter if path.suffix == ".csv" else pyarrow.parquet.ParquetWriter
    with make(path, schema) as writer:
        for start in range(0, rows, _BLOCK):
            block = rng.normal(size=(2, min(_BLOCK, rows - start)))
            writer.write_table(pyarrow.table({"a": block[0], "b": block[1]}))


def peak(*words: object, program: tuple[str, ...] = ("-m", "pushforward")) -> tuple[float, float]:
    """The largest resident memory of a command in MiB, and its seconds. Raises SystemExit where it fails."""
    started = time.monotonic()
    process = subprocess.Popen([sys.executable, *program, *map(str, words)], stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"pushforward {' '.join(map(str, words))} ended with {process.returncode}")
    return usage.ru_maxrss / 1024, time.monotonic() - started


def fit_model(folder: Path, kind: str) -> Path:
    """The folder of a small flow, or of a small model of a table."""
    model = folder / "model"
    write_rows(folder / "train.csv", 2000)
    if kind == "flow":
        small = ("--option", "transforms=2", "--option", "hidden=8", "--steps", 20, "--no-report")
        peak("fit", folder / "train.csv", "--flow", "nice", *small, "--out", model)
    else:
        from pushforward import FlowDensity

        FlowDensity(max_steps=1, architectures=()).fit(folder / "train.csv").save(model)
    return model


def measure(folder: Path, kind: str, commands: list[str], rows: list[int], endings: list[str]) -> bool:
    """Measure all commands; returns whether the memory of each is flat."""
    model = fit_model(folder, kind)
    flat = True
    print("| command | rows | peak MiB | seconds |\n|---|---:|---:|---:|")
    for command in commands:
        for ending in endings:
            found = []
            for count in rows:
                out = folder / f"out.{ending}"
                if command == "sample":
                    size, seconds = peak("sample", model, "-n", count, "--out", out, "--force")
                else:
                    file = folder / f"in.{ending}"
                    write_rows(file, count, seed=1)
                    given, program = _SCORING[command]
                    size, seconds = peak(*given(model, file, out), program=program)
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
    parser.add_argument("--commands", nargs="+", default=["score", "sample"], choices=["score", "python", "sample"])
    parser.add_argument("--model", default="flow", choices=["flow", "table"])
    return parser.parse_args(given)


def main() -> int:
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as folder:
        return 0 if measure(Path(folder), arguments.model, arguments.commands, arguments.rows, arguments.endings) else 1


if __name__ == "__main__":
    sys.exit(main())
