"""The report of a check of a flow: lines with a value, a tolerance and a verdict."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from pushforward.evaluation.verdict import State, Verdict, verdict_of

_HEAD = ("check", "value", "bar", "", "")


@dataclass(frozen=True)
class CheckLine:
    """A line of a report: a measured value, its tolerance, and whether it passed; None if it is not judged.

    consequence: the state of a model whose line fails, by the effect of the error. A failed line whose error is too
    small to have an effect leaves the model good. effect: that effect in words, for a verdict.
    """

    name: str
    value: float | None
    bar: str
    passed: bool | None
    detail: str = ""
    consequence: State = State.REFUSE
    effect: str = ""

    @property
    def reason(self) -> str:
        """The line as a reason in a verdict."""
        measured = f"{_number(self.value)} measured, {self.bar} allowed" if self.value is not None else self.detail
        return self.effect or f"{self.name}: {measured}"

    def to_json(self) -> dict[str, Any]:
        """A dict of plain values; the consequence is that of a failed line."""
        value = None if self.value is None or not math.isfinite(self.value) else self.value
        consequence = str(self.consequence) if self.passed is False else None
        effect = self.effect if self.passed is False else ""
        return {**asdict(self), "value": value, "consequence": consequence, "effect": effect}


@dataclass(frozen=True)
class CheckReport:
    """The lines of `check`. ``str()`` gives a readable table."""

    lines: tuple[CheckLine, ...]

    @property
    def passed(self) -> bool:
        """Whether no judged line failed."""
        return all(line.passed is not False for line in self.lines)

    @property
    def verdict(self) -> Verdict:
        """The verdict on the numerics: failed lines count by the effect of their errors."""
        return verdict_of("numerics", [(line.consequence, line.reason) for line in self.lines if line.passed is False])

    def to_json(self) -> dict[str, Any]:
        """A dict of plain values, non-finite numbers as None."""
        lines = [line.to_json() for line in self.lines]
        return {"passed": self.passed, "verdict": self.verdict.to_json(), "lines": lines}

    def __str__(self) -> str:
        rows = [(line.name, _number(line.value), line.bar, _word(line), line.detail) for line in self.lines]
        widths = [max(len(row[i]) for row in [*rows, _HEAD]) for i in range(4)]
        table = [
            "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]).rstrip()
            for row in [_HEAD, *rows]
        ]
        return "\n".join([*table, "all checks passed" if self.passed else str(self.verdict)])


def _word(line: CheckLine) -> str:
    """The outcome of a line in one word."""
    if line.passed is None:
        return "-"
    effects = {State.GOOD: "small", State.CARE: "CARE", State.REFUSE: "FAILED"}
    return "ok" if line.passed else effects[line.consequence]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
