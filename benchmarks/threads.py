"""Training and scoring speed of two versions of the package: alone, beside a busy processor, and bound to one of two.

    git worktree add /tmp/before 5cf9c94
    python benchmarks/threads.py /tmp/before/src src

Two columns each: in Python with torch's own settings (``pushforward.fit`` of the default flow for tables, and
`Flow.log_prob` of 16,384 rows), and from the command line (``pushforward fit``). Versions take turns, each run is a
process of its own, and a figure is the median over the rounds. Variables that set threads are left out of the
environment. The machine should have two processors and nothing else to do.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CHOICES = ("OMP_", "GOMP_", "KMP_", "MKL_")
SITUATIONS = ("idle", "beside one busy core", "on one of two cores")
_ROWS, _COLUMNS = 16_384, 8


def work(seconds: float) -> None:
    """The worker: prints steps a second of a fit, and milliseconds of scoring."""
    import torch

    import pushforward
    from pushforward.training import TrainingOptions

    torch.manual_seed(0)
    x = torch.randn(_ROWS, _COLUMNS)
    x[:, 1:] += x[:, :-1].square()
    flow = pushforward.flows.build("nsf_ar", (_COLUMNS,))
    options = TrainingOptions(minutes=seconds / 60, batch_size=256)
    start, times = time.perf_counter(), []
    steps = pushforward.fit(flow, x, options=options, progress=False).steps
    rate = steps / (time.perf_counter() - start)
    with torch.no_grad():
        flow.log_prob(x)
        for _ in range(5):
            start = time.perf_counter()
            flow.log_prob(x)
            times.append(time.perf_counter() - start)
    print(json.dumps([rate, 1000 * statistics.median(times)]))


def environment(source: str) -> dict[str, str]:
    """That of a process which imports the package from ``source`` and sets nothing about threads."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_CHOICES)}
    return {**kept, "PYTHONPATH": os.path.abspath(source)}


def in_python(source: str, seconds: float, prefix: list[str]) -> list[float]:
    """Steps a second and milliseconds, of the version in ``source``."""
    command = [*prefix, sys.executable, __file__, "--worker", str(seconds)]
    done = subprocess.run(command, env=environment(source), stdout=subprocess.PIPE, text=True, check=True)
    figures: list[float] = json.loads(done.stdout)
    return figures


def on_the_command_line(source: str, seconds: float, prefix: list[str]) -> float:
    """Steps a second of ``pushforward fit``, of the version in ``source``."""
    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        x = np.random.default_rng(0).normal(size=(_ROWS, _COLUMNS))
        x[:, 1:] += x[:, :-1] ** 2
        np.save(Path(folder) / "x.npy", x)
        command = [*prefix, sys.executable, "-m", "pushforward", "fit", "x.npy", "--minutes", str(seconds / 60)]
        subprocess.run(
            [*command, "--no-report", "--out", "model"],
            cwd=folder, env=environment(source), check=True, capture_output=True,
        )  # fmt: skip
        last = json.loads((Path(folder) / "model/metrics.jsonl").read_text().splitlines()[-1])
        return float(last["step"] / last["seconds"])


@contextmanager
def situation(name: str) -> Iterator[list[str]]:
    """The words before a command that is to run in the situation of that name, for as long as it lasts."""
    if name == SITUATIONS[2]:
        yield ["taskset", "-c", "0"]
        return
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if name == SITUATIONS[1] else None
    try:
        yield []
    finally:
        if other is not None:
            other.kill()
            other.wait()


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command's arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", help="the folder src of the first version")
    parser.add_argument("after", help="the folder src of the second version")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each version in each situation")
    parser.add_argument("--seconds", type=float, default=6.0, help="length of a fit")
    return parser.parse_args(arguments)


def main() -> None:
    if sys.argv[1:2] == ["--worker"]:
        work(float(sys.argv[2]))
        return
    arguments = parse_arguments()
    sources = {"before": arguments.before, "after": arguments.after}
    print(
        "| situation | version | `fit`, steps/s | `log_prob`, ms | `pushforward fit`, steps/s |\n|---|---|---|---|---|"
    )
    for name in SITUATIONS:
        runs: dict[str, list[list[float]]] = {version: [] for version in sources}
        for turn in range(arguments.rounds):
            # The one that goes first changes, so that neither is always measured in the other's wake.
            for version in sorted(sources, reverse=turn % 2 == 0):
                with situation(name) as prefix:
                    figures = in_python(sources[version], arguments.seconds, prefix)
                    figures.append(on_the_command_line(sources[version], arguments.seconds, prefix))
                runs[version].append(figures)
        for version, lines in runs.items():
            cells = [
                f"{statistics.median(column):.0f} ({min(column):.0f} to {max(column):.0f})"
                for column in zip(*lines, strict=True)
            ]
            print(f"| {name} | {version} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
