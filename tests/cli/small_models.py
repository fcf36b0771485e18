"""What the tests of the command line share: how they call it, and options that make a fit take a second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

Run = Callable[..., tuple[int, str, str]]

SMALL = ("--option", "transforms=2", "--option", "hidden=8", "--steps", "5", "--no-report")
TINY_IMAGES = ("--option", "channels=4", "--option", "blocks=0", "--option", "scales=1", "--steps", "3")


def write_csv(path: Path, columns: dict[str, np.ndarray]) -> Path:
    rows = zip(*columns.values(), strict=True)
    path.write_text("\n".join([",".join(columns), *(",".join(str(v) for v in row) for row in rows)]) + "\n")
    return path
