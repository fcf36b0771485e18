"""Verdicts in words: whether a model may be used, with the reasons."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """The three words of a verdict, from the best to the worst."""

    GOOD = "good"
    CARE = "use with care"
    REFUSE = "do not use"


_ORDER = tuple(State)


def worst(states: Iterable[State]) -> State:
    """The worst of ``states``; good if there are none."""
    return max(states, key=_ORDER.index, default=State.GOOD)


@dataclass(frozen=True)
class Verdict:
    """A verdict on one subject, "fit" or "numerics": its state, and the reasons against the model, the worst first.

    >>> from pushforward.evaluation.verdict import State, Verdict
    >>> print(Verdict("fit", State.CARE, ("the samples of column x have short tails",)))
    fit: use with care (the samples of column x have short tails)
    """

    subject: str
    state: State
    reasons: tuple[str, ...] = ()

    def against(self, state: State, reason: str) -> Verdict:
        """The verdict with one more reason, which speaks for ``state``, before the others."""
        return Verdict(self.subject, worst((self.state, state)), (reason, *self.reasons))

    def to_json(self) -> dict[str, Any]:
        """A dict of plain values."""
        return {"state": str(self.state), "reasons": list(self.reasons)}

    def __str__(self) -> str:
        reasons = f" ({'; '.join(self.reasons)})" if self.reasons else ""
        return f"{self.subject}: {self.state}{reasons}"


def verdict_of(subject: str, grounds: Iterable[tuple[State, str]]) -> Verdict:
    """The verdict of several ``grounds``: the worst of their states, and every reason that is not good."""
    against = [(state, reason) for state, reason in grounds if state is not State.GOOD]
    against.sort(key=lambda ground: -_ORDER.index(ground[0]))
    return Verdict(subject, worst(state for state, _ in against), tuple(reason for _, reason in against))
