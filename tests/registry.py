"""Every map, transform, base and flow of the library, as entries that all checks in `tests/checks` run over.

To have something new checked, add an entry to a file of `entries`, or such a file: no test has to be written. What a
check cannot apply to says so with a `Reason`, either by rule (`subjects.reason_against`) or in the entry's own
``skips``.
"""

from __future__ import annotations

import pkgutil
from collections import defaultdict
from importlib import import_module

import entries
from entry import LABELS, Entry, Reason

__all__ = ["BY_NAME", "CHAINS", "ENTRIES", "FAMILIES", "LABELS", "Entry", "Reason"]

# The files of entries.
FAMILIES = [import_module(f"{entries.__name__}.{module.name}") for module in pkgutil.iter_modules(entries.__path__)]
ENTRIES: tuple[Entry, ...] = tuple(entry for family in FAMILIES for entry in family.entries())
BY_NAME: dict[str, Entry] = {entry.name: entry for entry in ENTRIES}
assert len(BY_NAME) == len(ENTRIES), "two entries have the same name"


def _chains() -> frozenset[str]:
    """All flows built by name but one on vectors and one on images of each: with a context, if any, and small."""
    groups: dict[tuple[str, int], list[Entry]] = defaultdict(list)
    for entry in ENTRIES:
        if entry.architecture is not None:
            groups[entry.architecture, len(entry.event_shape)].append(entry)
    representatives = {
        min(group, key=lambda entry: (entry.context is None, entry.size > 4)).name for group in groups.values()
    }
    return frozenset(entry.name for group in groups.values() for entry in group) - representatives


# Flows that skip the checks that a chain of sound parts passes: their parts run all of them, and so does another flow
# of the same architecture.
CHAINS = _chains()
