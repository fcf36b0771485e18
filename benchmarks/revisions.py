"""Two states of the package in turn: the time of the processor for a step, a score and a sample of flows on vectors.

    git worktree add /tmp/before REVISION
    python benchmarks/revisions.py /tmp/before/src src --threads 1

Each state runs in a process of its own, and the two take turns. A row gives the medians over rounds, in milliseconds of
the processor's time, which other processes disturb less than elapsed time. The flows have 8 coordinates, 5 transforms
and nets of two layers of 128 (`bnaf`: of 16 for each coordinate); a step is one of training on 512 rows, and scores and
samples are of 4,096 rows.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

_FLOWS = ("nsf", "real_nvp", "maf", "nsf_ar")
_WORK = ("step", "log_prob", "sample")
_CALLS = 4
_HIDDEN = {"bnaf": (16, 16)}  # units for each coordinate


def serve(name: str, work: str, threads: int) -> None:
    """Answer each line of input with the milliseconds of one call of a flow."""
    import torch

    from pushforward import flows

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    flow = flows.build(name, (8,), hidden=_HIDDEN.get(name, (128, 128)), transforms=5)
    batch, rows = torch.randn(512, 8), torch.randn(4096, 8)
    flow.initialise(batch)
    optimiser = torch.optim.Adam(flow.parameters(), lr=1e-4, fused=True)
    objective = flow.objective

    def step() -> None:
        optimiser.zero_grad()
        objective(batch).value.backward()
        optimiser.step()

    def score() -> None:
        with torch.no_grad():
            flow.log_prob(rows)

    call = {"step": step, "log_prob": score, "sample": lambda: flow.sample(len(rows), seed=0)}[work]
    for _ in sys.stdin:
        started = time.process_time()
        for _ in range(_CALLS):
            call()
        print(1e3 * (time.process_time() - started) / _CALLS, flush=True)


def compare(sources: list[str], name: str, work: str, threads: int, rounds: int) -> list[float]:
    """The median time with each state of the package."""
    command = [sys.executable, __file__, "--serve", name, work, "--threads", str(threads)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    states = [subprocess.Popen(command, env={**os.environ, "PYTHONPATH": source}, **pipes) for source in sources]
    took: list[list[float]] = [[] for _ in states]
    for _ in range(rounds + 2):
        for state, times in zip(states, took, strict=True):
            state.stdin.write("\n")
            state.stdin.flush()
            times.append(float(state.stdout.readline()))
    for state in states:
        state.communicate()
    return [statistics.median(times[2:]) for times in took]


def parse_arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The command line; ``given`` stands in for the program's own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="*", help="the folders src of the two states, the earlier one first")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--flows", nargs="*", default=_FLOWS)
    parser.add_argument("--work", nargs="*", default=_WORK)
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args(given)
    if len(arguments.sources) != 2 and not arguments.serve:
        parser.error("two folders expected")
    return arguments


def main() -> None:
    given = parse_arguments()
    if given.serve:
        serve(*given.serve, given.threads)
        return
    print("| computation | before, ms | after, ms | ratio |\n|---|---:|---:|---:|")
    for name in given.flows:
        for work in given.work:
            before, after = compare(given.sources, name, work, given.threads, given.rounds)
            print(f"| {name}, {work} | {before:.3g} | {after:.3g} | {before / after:.2f} |", flush=True)


if __name__ == "__main__":
    main()
