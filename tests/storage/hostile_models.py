"""Loads small models whose configuration asks for huge ones, in a process of its own: prints seconds and memory.

Run as ``python hostile_models.py FOLDER``, with ``tests`` on the path.
"""

import resource
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import torch
from resealed import edit_config

import pushforward
from pushforward.errors import ModelError
from small_flows import small_flow, vector_architectures

_HUGE = 10**6


def hostile_options(options: dict[str, Any]) -> list[tuple[str, Any]]:
    """Each option that is a size or a list of sizes, with a huge one in its place."""
    changes: list[tuple[str, Any]] = []
    for name, value in options.items():
        if type(value) is int:
            changes.append((name, _HUGE))
        elif isinstance(value, (list, tuple)) and value and all(type(size) is int for size in value):
            changes.append((name, [_HUGE] * len(value)))
    return changes


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    attacks: list[tuple[Path, tuple[str, ...]]] = []
    for name in vector_architectures():
        model = folder / name
        flow = small_flow(name, 3)
        pushforward.save(flow, model)
        assert flow.config is not None
        changes: list[tuple[tuple[str, ...], Any]] = [(("event_shape",), [size]) for size in (3000, 100_000, 1 << 22)]
        # Many tiny layers take longest to refuse, and are refused alike everywhere.
        changes += [
            (("options", option), value)
            for option, value in hostile_options(flow.config.options)
            if option != "transforms" or name == "maf"
        ]
        for i, (keys, value) in enumerate(changes):
            path = folder / f"{name}-{i}"
            shutil.copytree(model, path)
            edit_config(path, "flow", *keys, value=value)
            attacks.append((path, keys))
    start = _peak()
    for path, keys in attacks:
        begun = time.process_time()
        try:
            pushforward.load(path)
            outcome = "loaded"
        except ModelError:
            outcome = "refused"
        print(path.name, ".".join(keys), outcome, f"{time.process_time() - begun:.2f}", _peak() - start)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
