"""The limits of the fit of a table: seconds of the whole, steps of each net and flow."""

from __future__ import annotations

from dataclasses import dataclass

# Without a time limit there is a net for so many of the steps.
_STEPS_OF_NET = 100


@dataclass(frozen=True)
class FitLimit:
    """The limits of a fit: ``seconds`` of the whole, ``steps`` of each net and flow; None for no limit."""

    seconds: float | None
    steps: int | None

    def part(self, fraction: float) -> float | None:
        """A fraction of the seconds."""
        return None if self.seconds is None else fraction * self.seconds

    def nets(self, most: int) -> int:
        """The number of nets, at most: a few steps are those of one net."""
        return most if self.seconds is not None else max(1, min(most, (self.steps or 0) // _STEPS_OF_NET))
