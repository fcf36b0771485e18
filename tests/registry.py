"""Every map, transform, base and flow of the library, as entries that all checks in `tests/checks` run over.

To have something new checked, add an entry to a file of `entries`: no test has to be written. What a check cannot apply
to says so with a `Reason`, either by rule (`subjects.reason_against`) or in the entry's own ``skips``.
"""

from __future__ import annotations

from entries import (
    augmented,
    autoregressive,
    bases,
    circular,
    classic,
    continuous,
    flowpp,
    flows,
    gaussianization,
    glow,
    greedy,
    known,
    linear,
    macow,
    maps,
    monotone,
    residual,
    splines,
    surjections,
    transforms,
    vectors,
)
from entry import LABELS, Entry, Reason

__all__ = ["BY_NAME", "ENTRIES", "LABELS", "Entry", "Reason"]

_FAMILIES = (
    maps,
    splines,
    monotone,
    transforms,
    linear,
    autoregressive,
    bases,
    flows,
    vectors,
    known,
    circular,
    glow,
    classic,
    greedy,
    flowpp,
    macow,
    gaussianization,
    residual,
    surjections,
    augmented,
    continuous,
)
ENTRIES: tuple[Entry, ...] = tuple(entry for family in _FAMILIES for entry in family.entries())
BY_NAME: dict[str, Entry] = {entry.name: entry for entry in ENTRIES}
assert len(BY_NAME) == len(ENTRIES), "two entries have the same name"
