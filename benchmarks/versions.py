"""Training and scoring speed of two versions of the package, alternating in one run.

    git worktree add /tmp/before 5cf9c94
    python benchmarks/versions.py /tmp/before/src src

Two processes, one a version, take turns at the same work, so that other work on the machine slows both, and count their
processor time. A figure is the median over the rounds of the time in the second version divided by that in the first:
below 1 the second is faster.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any

FLOWS: dict[str, tuple[tuple[int, ...], dict[str, Any], int]] = {
    "nsf_ar": ((8,), {}, 40),
    "nsf": ((8,), {}, 40),
    "maf": ((8,), {}, 60),
    "naf": ((8,), {}, 30),
    "real_nvp": ((8,), {}, 60),
    "real_nvp, images": ((1, 8, 8), {"levels": 17, "channels": 16, "blocks": 1}, 12),
    "glow, images": ((1, 8, 8), {"levels": 17, "transforms": 4, "channels": 32}, 12),
    "residual_flow": ((8,), {"transforms": 4}, 20),
    "ffjord": ((8,), {"hidden": (32,)}, 6),
}
_ROWS = 2048


def work() -> None:
    """The worker: reads the names of flows, answers the seconds of training steps and of scoring."""
    import torch

    import pushforward
    from pushforward.training import TrainingOptions

    torch.set_num_threads(1)
    for line in sys.stdin:
        name = line.strip()
        shape, options, steps = FLOWS[name]
        torch.manual_seed(0)
        x = torch.randn(_ROWS, *shape)
        if "levels" in options:
            x = (x * 3 + 8).round().clamp(0, options["levels"] - 1)
        flow = pushforward.flows.build(name.split(",")[0], shape, **options)
        started = time.process_time()
        training = TrainingOptions(steps=steps, batch_size=256, validate_every=steps)
        pushforward.fit(flow, x, validation=x[:256], options=training, progress=False)
        trained = time.process_time()
        flow.likelihood(x)
        print(json.dumps([trained - started, time.process_time() - trained]), flush=True)


def start(source: str) -> subprocess.Popen[str]:
    """A worker that imports the package from the folder ``source``."""
    environment = {**os.environ, "PYTHONPATH": os.path.abspath(source), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, __file__, "--worker"],
        env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def ask(worker: subprocess.Popen[str], name: str) -> list[float]:
    """The seconds of training and of scoring of one flow in one worker."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(f"{name}\n")
    worker.stdin.flush()
    answer: list[float] = json.loads(worker.stdout.readline())
    return answer


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command's arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", help="the folder src of the first version")
    parser.add_argument("after", help="the folder src of the second version")
    parser.add_argument("--rounds", type=int, default=7, help="how often each version does each piece of work")
    return parser.parse_args(arguments)


def main() -> None:
    if sys.argv[1:] == ["--worker"]:
        work()
        return
    arguments = parse_arguments()
    workers = [start(arguments.before), start(arguments.after)]
    print("| flow | training, ratio | lowest to highest | scoring, ratio | lowest to highest |\n|---|---|---|---|---|")
    for name in FLOWS:
        for worker in workers:  # not counted
            ask(worker, name)
        ratios: list[list[float]] = []
        for turn in range(arguments.rounds):
            # The one that goes first changes, so that neither is always measured in the other's wake.
            order = (0, 1) if turn % 2 == 0 else (1, 0)
            seconds = {i: ask(workers[i], name) for i in order}
            ratios.append([after / before for before, after in zip(seconds[0], seconds[1], strict=True)])
        cells = []
        for column in zip(*ratios, strict=True):
            cells += [f"{statistics.median(column):.2f}", f"{min(column):.2f} to {max(column):.2f}"]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    for worker in workers:
        worker.communicate()


if __name__ == "__main__":
    main()
