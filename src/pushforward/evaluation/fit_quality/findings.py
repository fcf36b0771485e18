"""Findings: deviations of a model from held-out rows, each with its p-value and its size."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pushforward.evaluation.verdict import State


@dataclass(frozen=True)
class Finding:
    """A deviation of a model from held-out rows, judged by significance and by size.

    measure: its name. reason: the words for a verdict. p_value: the probability of a deviation at least as large if the
    held-out rows were drawn from the model. size: of the deviation; care, refuse: the sizes from which on it speaks for
    care, or against any use. values: the numbers behind it.
    """

    measure: str
    reason: str
    p_value: float
    size: float
    care: float
    refuse: float = math.inf
    values: Mapping[str, Any] = field(default_factory=dict)

    def state(self, level: float) -> State:
        """The state of a model with this finding, where p-values up to ``level`` are significant."""
        # A size or p-value that is not a number comes from a model that gives no numbers.
        if math.isnan(self.size) or math.isnan(self.p_value):
            return State.REFUSE
        if self.p_value > level or self.size < self.care:
            return State.GOOD
        return State.REFUSE if self.size >= self.refuse else State.CARE

    def to_json(self) -> dict[str, Any]:
        """A dict of plain values."""
        limits = {"care": self.care, "refuse": None if math.isinf(self.refuse) else self.refuse}
        return {"p_value": self.p_value, "size": self.size, "limits": limits, "reason": self.reason, **self.values}
