"""Where values may lie: the domain and codomain that a transform declares, and the support of a base."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Domain:
    """A set of values that every coordinate of an event lies in.

    kind: ``real`` (the open interval between ``low`` and ``high``, either of which may be infinite), ``integers``
    (whole numbers from ``low`` to ``high``, both included), ``circle`` (angles from ``low`` up to ``high``, the ends
    glued together) or ``ordered`` (real vectors whose coordinates ascend).
    """

    kind: Literal["real", "integers", "circle", "ordered"]
    low: float = -math.inf
    high: float = math.inf

    def within(self, other: Domain) -> bool:
        """Whether every value of this set belongs to ``other``."""
        if self.kind in ("ordered", "integers") and other.kind == "real":
            return other.low <= self.low and self.high <= other.high
        return self.kind == other.kind and other.low <= self.low and self.high <= other.high

    def __str__(self) -> str:
        if self.kind == "integers":
            return f"integers {self.low:g}..{self.high:g}"
        if self.kind == "real" and math.isinf(self.low) and math.isinf(self.high):
            return "the real line"
        name = {"real": "interval", "circle": "circle", "ordered": "ordered vectors in"}[self.kind]
        return f"{name} ({self.low:g}, {self.high:g})"


REAL = Domain("real")
UNIT = Domain("real", 0.0, 1.0)


def integers(levels: int) -> Domain:
    """The integers 0 .. levels - 1."""
    return Domain("integers", 0, levels - 1)
