"""The report of a check of a flow: lines with a value, a tolerance and a verdict."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

_HEAD = ("check", "value", "bar", "", "")


@dataclass(frozen=True)
class CheckLine:
    """A line of a report: a measured value, its tolerance and the verdict; ``passed`` is None if it is not judged."""

    name: str
    value: float | None
    bar: str
    passed: bool | None
    detail: str = ""


@dataclass(frozen=True)
class CheckReport:
    """The lines of `check`. ``str()`` gives a readable table."""

    lines: tuple[CheckLine, ...]

    @property
    def passed(self) -> bool:
        """Whether no judged line failed."""
        return all(line.passed is not False for line in self.lines)

    def to_json(self) -> dict[str, Any]:
        """A dict of plain values, non-finite numbers as None."""
        lines = []
        for line in self.lines:
            entry = asdict(line)
            if line.value is not None and not math.isfinite(line.value):
                entry["value"] = None
            lines.append(entry)
        return {"passed": self.passed, "lines": lines}

    def __str__(self) -> str:
        words = {True: "ok", False: "FAILED", None: "-"}
        rows = [(line.name, _number(line.value), line.bar, words[line.passed], line.detail) for line in self.lines]
        widths = [max(len(row[i]) for row in [*rows, _HEAD]) for i in range(4)]
        table = [
            "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]).rstrip()
            for row in [_HEAD, *rows]
        ]
        verdict = "all checks passed" if self.passed else "SOME CHECKS FAILED: do not trust the numbers of this flow"
        return "\n".join([*table, verdict])


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
