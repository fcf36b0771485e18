"""Which check ran over which entry: the parametrisation of the checks, and the matrix that is made of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import pytest

from registry import BY_NAME, CHAINS, ENTRIES, Entry
from subjects import Stage, reason_against

CHECKS: dict[str, str] = {
    "a": "round trip",
    "b": "log term against the Jacobian",
    "c": "batched = one at a time",
    "d": "gradients",
    "e": "hostile input",
    "f": "integrates to one",
    "g": "sampling agrees with scoring",
    "h": "dtypes",
    "i": "compiles into one graph",
    "j": "saved and copied",
    "k": "golden values",
    "l": "learns",
    "m": "bounds",
    "n": "calibrated",
    "o": "any unit of the data",
    "p": "any caller",
}

COVERED: dict[str, set[str]] = defaultdict(set)

# Checks that take long and that the parts of a flow and its representatives have passed: the other flows of the same
# architecture run them in `make test-slow`. The ordinary tests find every fault of scripts/mutants without these.
_SLOW_FOR_CHAINS = "abfhlm"


def is_slow(entry: Entry, check: str) -> bool:
    """Whether an entry runs a check only in `make test-slow`."""
    return (entry.name in CHAINS and check in _SLOW_FOR_CHAINS) or (entry.kind == "flow" and check == "i")


def over(check: str, where: Callable[[Entry], bool] = lambda entry: True) -> pytest.MarkDecorator:
    """Parametrise a test over every entry that has no reason against the check, and note that it ran.

    where: which entries this test of the check is for, where the check consists of several.
    """
    chosen = [entry for entry in ENTRIES if reason_against(entry, check) is None and where(entry)]
    COVERED[check].update(entry.name for entry in chosen)
    cases = [pytest.param(entry, marks=_marks(entry, check)) for entry in chosen]
    return pytest.mark.parametrize("entry", cases, ids=[str(entry) for entry in chosen])


def over_flows(test: Callable[..., None]) -> Callable[..., None]:
    """Parametrise a test over one flow of every architecture on vectors and one on images, outside of the checks."""
    chosen = [entry for entry in ENTRIES if entry.architecture is not None and entry.name not in CHAINS]
    parametrised: Callable[..., None] = pytest.mark.parametrize("entry", chosen, ids=str)(test)
    return parametrised


def _marks(entry: Entry, check: str) -> list[pytest.MarkDecorator]:
    return [pytest.mark.slow] if is_slow(entry, check) else []


def over_stages(check: str, *stages: Stage) -> pytest.MarkDecorator:
    """Parametrise a test over entries as `over` does, and over the stages of their weights.

    A flow whose parts and representatives run every stage is tried after training alone, where errors are largest.
    """
    chosen = [
        (entry, stage)
        for entry in ENTRIES
        if reason_against(entry, check) is None
        for stage in stages
        if stage == "trained" or entry.name not in CHAINS
    ]
    COVERED[check].update(entry.name for entry, _ in chosen)
    ids = [f"{entry}-{stage}" for entry, stage in chosen]
    cases = [pytest.param(entry, stage, marks=_marks(entry, check)) for entry, stage in chosen]
    return pytest.mark.parametrize(("entry", "stage"), cases, ids=ids)


def golden(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Note that a test compares these entries with values from an independent source."""
    unknown = set(names) - set(BY_NAME)
    assert not unknown, f"no entries of these names: {unknown}"

    def mark(test: Callable[..., None]) -> Callable[..., None]:
        COVERED["k"].update(names)
        return test

    return mark
