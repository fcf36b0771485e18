"""Where values may lie: the domain and codomain that a transform declares, and the support of a base."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Domain:
    """A set of values that every coordinate of an event lies in, or one for each coordinate.

    kind: ``real`` (the open interval between ``low`` and ``high``, either of which may be infinite), ``integers``
    (whole numbers from ``low`` to ``high``, both included), ``circle`` (angles from ``low`` up to ``high``, the ends
    glued together), ``ordered`` (real vectors whose coordinates ascend) or ``product`` (vectors whose coordinates lie
    each in its own of ``parts``; ``low`` and ``high`` then hold them all). Made by `product`. wraps: of a circle,
    whether numbers outside are reduced modulo the period; of a product, whether this is true of one of its parts.
    """

    kind: Literal["real", "integers", "circle", "ordered", "product"]
    low: float = -math.inf
    high: float = math.inf
    parts: tuple[Domain, ...] = ()
    wraps: bool = False

    def coordinate(self, index: int) -> Domain:
        """The domain of the coordinate ``index`` of a vector."""
        return self.parts[index] if self.kind == "product" else self

    @property
    def middle(self) -> float:
        """A value between the ends."""
        if math.isinf(self.low):
            return 0.0 if math.isinf(self.high) else self.high - 1
        return self.low + 1 if math.isinf(self.high) else (self.low + self.high) / 2

    def within(self, other: Domain) -> bool:
        """Whether every value of this set belongs to ``other``."""
        if "product" in (self.kind, other.kind):
            sizes = {len(domain.parts) for domain in (self, other) if domain.kind == "product"}
            return len(sizes) == 1 and all(self.coordinate(i).within(other.coordinate(i)) for i in range(sizes.pop()))
        if self.kind in ("ordered", "integers") and other.kind == "real":
            return other.low <= self.low and self.high <= other.high
        if self.kind == "circle":
            return (self.kind, self.low, self.high) == (other.kind, other.low, other.high)
        return self.kind == other.kind and other.low <= self.low and self.high <= other.high

    def __str__(self) -> str:
        if self.kind == "product":
            places: dict[str, list[int]] = {}
            for i, part in enumerate(self.parts):
                places.setdefault(str(part), []).append(i)
            return " x ".join(f"{name} (at {_listed(indices)})" for name, indices in places.items())
        if self.kind == "integers":
            return f"integers {self.low:g}..{self.high:g}"
        if self.kind == "real" and math.isinf(self.low) and math.isinf(self.high):
            return "the real line"
        name = {"real": "interval", "circle": "circle", "ordered": "ordered vectors in"}[self.kind]
        return f"{name} ({self.low:g}, {self.high:g})"


def _listed(indices: list[int], most: int = 4) -> str:
    shown = ", ".join(map(str, indices[:most]))
    return shown if len(indices) <= most else f"{shown} and {len(indices) - most} more"


REAL = Domain("real")
UNIT = Domain("real", 0.0, 1.0)
CIRCLE = Domain("circle", -math.pi, math.pi)


def integers(levels: int) -> Domain:
    """The integers 0 .. levels - 1."""
    return Domain("integers", 0, levels - 1)


def product(parts: Sequence[Domain]) -> Domain:
    """Vectors whose coordinates lie in ``parts``, one each (none of them a product): plain where all are the same."""
    if len(set(parts)) == 1:
        return parts[0]
    return Domain(
        "product", min(p.low for p in parts), max(p.high for p in parts), tuple(parts), any(p.wraps for p in parts)
    )
