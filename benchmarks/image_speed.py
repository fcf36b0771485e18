"""Training steps of flows on images with the same layers in several libraries: time, and peak of memory.

    pip install -c constraints.txt -r benchmarks/speed_requirements.txt
    python benchmarks/image_speed.py
    python benchmarks/image_speed.py --shapes 3x32x32 --flows Glow --libraries pushforward,FrEIA --batch 128

The steps of all libraries alternate in one process. A figure is the median of the processor's time on one thread, which
other processes disturb less than elapsed time. Memory is measured in a process of its own for each: by how much the
resident memory grows in two steps, at its peak, with the gradients and the state of Adam.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import torch
from image_peers import FLOWS, LIBRARIES, SHAPES, Size, subject

_NAMED = {"shapes": SHAPES, "flows": FLOWS, "libraries": LIBRARIES}


def milliseconds(shape: str, flow: str, libraries: list[str], size: Size, rounds: int) -> dict[str, tuple[int, float]]:
    """For each library that has the flow: its number of parameters, and the median time of a step."""
    made = {library: subject(library, flow, SHAPES[shape], size) for library in libraries}
    subjects = {library: one for library, one in made.items() if one is not None}
    times: dict[str, list[float]] = {library: [] for library in subjects}
    for _ in range(rounds + 2):
        for library, one in subjects.items():
            started = time.process_time()
            one.step()
            times[library].append(1000 * (time.process_time() - started))
    return {library: (one.parameters, statistics.median(times[library][2:])) for library, one in subjects.items()}


def growth(shape: str, flow: str, library: str, size: Size) -> float:
    """By how many MiB the resident memory of this process grows at the peak of two steps of training."""
    one = subject(library, flow, SHAPES[shape], size)
    assert one is not None
    gc.collect()
    # The kernel forgets the peak so far.
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    one.step()
    one.step()
    return (resident("VmHWM") - before) / 1024


def resident(name: str) -> int:
    """A figure of this process's memory in KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def memory(shape: str, flow: str, library: str, arguments: argparse.Namespace) -> float:
    """The `growth` of a process of its own."""
    sizes = [f"--{name.replace('_', '-')}={getattr(arguments, name)}" for name in asdict(Size())]
    command = [sys.executable, __file__, "--memory", shape, flow, library, "--threads", str(arguments.threads), *sizes]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def table(arguments: argparse.Namespace, size: Size) -> Iterator[str]:
    """The lines of a table; in brackets the figure of a library divided by ours."""
    yield "| images | flow | library | parameters | step, ms | memory, MiB |"
    yield "|---|---|---|---:|---:|---:|"
    for shape in arguments.shapes:
        for flow in arguments.flows:
            found = milliseconds(shape, flow, arguments.libraries, size, arguments.rounds)
            peaks = {library: memory(shape, flow, library, arguments) for library in found}
            ours = "pushforward" if "pushforward" in found else next(iter(found))
            for library, (parameters, took) in found.items():
                ratios = ["", ""]
                if library != ours:
                    ratios = [f" ({a / b:.2f})" for a, b in ((took, found[ours][1]), (peaks[library], peaks[ours]))]
                figures = f"{took:.3g}{ratios[0]} | {peaks[library]:.0f}{ratios[1]}"
                yield f"| {shape} | {flow} | {library} | {parameters:,} | {figures} |"


def parse_arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The command line; ``given`` stands in for the program's own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option, known in _NAMED.items():
        parser.add_argument(f"--{option}", default=",".join(known), help="names with commas")
    for name, value in asdict(Size()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=value)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args(given)
    for option, known in _NAMED.items():
        names = getattr(arguments, option).split(",")
        setattr(arguments, option, names)
        if unknown := [name for name in names if name not in known]:
            parser.error(f"--{option}: {unknown[0]!r} is not known; there are {', '.join(known)}")
    return arguments


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    size = Size(**{name: getattr(arguments, name) for name in asdict(Size())})
    if arguments.memory:
        print(growth(*arguments.memory, size))
        return
    for line in table(arguments, size):
        print(line, flush=True)


if __name__ == "__main__":
    main()
