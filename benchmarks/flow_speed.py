"""The speed of flows of the same sizes in several libraries: training steps, scores and samples, in one run.

    pip install -c constraints.txt -r benchmarks/speed_requirements.txt && pip install --no-deps nflows
    python benchmarks/flow_speed.py --threads 2 --json runs/flow_speed.json
    python benchmarks/flow_speed.py --features 64 --flows "RQ coupling" --libraries pushforward,zuko --busy

The calls of all libraries alternate, so that whatever else the machine does meets all alike, and medians are compared;
the first call of each, which compiles in some, is shown as the warm-up. Calls that take more than a second are made
fewer times. A library that cannot be imported is named and left out.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from speed_peers import FLOWS, LIBRARIES, Size, Subject

_BUDGET = 10.0
_LEAST_ROUNDS = 3


def gather(names: list[str], flows: list[str], size: Size) -> list[Subject]:
    """The wanted flows of all libraries that can be imported, flow by flow."""
    found: list[Subject] = []
    for name in names:
        try:
            found += [subject for subject in LIBRARIES[name](size) if subject.flow in flows]
        except ImportError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
    return sorted(found, key=lambda subject: flows.index(subject.flow))


def measure(subjects: list[Subject], rounds: int) -> Iterator[dict[str, Any]]:
    """Medians in milliseconds of all calls of the subjects, in turn, and the seconds of their first calls."""
    for flow in dict.fromkeys(subject.flow for subject in subjects):
        group = [subject for subject in subjects if subject.flow == flow]
        for what in group[0].calls:
            times: dict[str, list[float]] = {subject.library: [] for subject in group}
            for turn in range(rounds + 1):
                for subject in group:
                    taken = times[subject.library]
                    if turn > _LEAST_ROUNDS and sum(taken[1:]) > _BUDGET:
                        continue
                    start = time.perf_counter()
                    subject.calls[what]()
                    taken.append(time.perf_counter() - start)
            for subject in group:
                first, *rest = times[subject.library]
                yield {
                    "flow": flow,
                    "library": subject.library,
                    "parameters": subject.parameters,
                    "call": what,
                    "milliseconds": 1000 * statistics.median(rest),
                    "warm_up_seconds": first,
                    "calls": len(rest),
                }


def markdown(lines: list[dict[str, Any]], ours: str = "pushforward") -> str:
    """A table of the lines; in brackets the time of a library divided by ours."""
    calls = list(dict.fromkeys(line["call"] for line in lines))
    found = {(line["flow"], line["library"], line["call"]): line for line in lines}
    rows = [
        "| flow | library | parameters | " + " | ".join(f"{call}, ms" for call in calls) + " | warm-up, s |",
        "|---|---|---:|" + "---:|" * (len(calls) + 1),
    ]
    for flow, library in dict.fromkeys((line["flow"], line["library"]) for line in lines):
        own = [found[flow, library, call] for call in calls]
        base = [found.get((flow, ours, call)) for call in calls]
        figures = [
            f"{line['milliseconds']:.3g}"
            + ("" if library == ours or other is None else f" ({line['milliseconds'] / other['milliseconds']:.2f})")
            for line, other in zip(own, base, strict=True)
        ]
        warm_up = sum(line["warm_up_seconds"] for line in own)
        rows.append(f"| {flow} | {library} | {own[0]['parameters']:,} | {' | '.join(figures)} | {warm_up:.2f} |")
    return "\n".join(rows)


def _spin() -> None:
    while True:
        pass


@contextmanager
def busy_core(wanted: bool) -> Iterator[None]:
    """Another process that keeps one processor busy, if ``wanted``."""
    other = multiprocessing.get_context("spawn").Process(target=_spin, daemon=True)
    if wanted:
        other.start()
    try:
        yield
    finally:
        if wanted:
            other.kill()


def parse_arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The command line; ``given`` stands in for the program's own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--libraries", default=",".join(LIBRARIES), help="names with commas")
    parser.add_argument("--flows", default=",".join(FLOWS), help="names with commas")
    for name, value in asdict(Size()).items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--busy", action="store_true", help="measure beside another busy process")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    arguments = parser.parse_args(given)
    for option, known in (("libraries", LIBRARIES), ("flows", FLOWS)):
        names = getattr(arguments, option).split(",")
        setattr(arguments, option, names)
        if unknown := [name for name in names if name not in known]:
            parser.error(f"--{option}: {unknown[0]!r} is not known; there are {', '.join(known)}")
    return arguments


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    if arguments.threads == 1:
        # jax reads this when it is first imported; it knows one thread and all, nothing in between.
        os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
    size = Size(**{name: getattr(arguments, name) for name in asdict(Size())})
    subjects = gather(arguments.libraries, arguments.flows, size)
    with busy_core(arguments.busy):
        lines = list(measure(subjects, arguments.rounds))
    print(f"{size}; {arguments.threads} threads{', beside a busy process' if arguments.busy else ''}\n")
    print(markdown(lines))
    if arguments.json is not None:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        record = {"size": asdict(size), "threads": arguments.threads, "busy": arguments.busy, "lines": lines}
        arguments.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
