"""The matrix entry x check, printed into docs/verification.md: nothing is left out without a reason."""

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from checking import CHECKS, COVERED, is_slow
from generated import out_of_date
from pushforward.flows import names
from registry import CHAINS, ENTRIES, Reason
from subjects import built, reason_against

_HERE = Path(__file__).parent
_START, _END = "<!-- matrix: written by `make docs-write` -->", "<!-- end of matrix -->"


def _import_all_checks() -> None:
    for folder in (_HERE, _HERE.parent / "golden"):
        # As pytest does for the folders that it collects from: this test also runs on its own.
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
        for path in sorted(folder.glob("test_*.py")):
            importlib.import_module(path.stem)


def blanks(covered: dict[str, set[str]], checks: Sequence[str] = tuple(CHECKS)) -> list[str]:
    """Entries that a check neither ran over nor has a reason against."""
    return [
        f"{entry.name}: {check}"
        for entry in ENTRIES
        for check in checks
        if entry.name not in covered.get(check, set()) and reason_against(entry, check) is None
    ]


def matrix() -> str:
    """The table in Markdown, with one letter a check and a number for each reason."""
    numbers = {reason: i + 1 for i, reason in enumerate(Reason)}
    lines = [f"| entry | {' | '.join(CHECKS)} |", f"|---|{'---|' * len(CHECKS)}"]
    for entry in ENTRIES:
        cells = []
        for check in CHECKS:
            reason = reason_against(entry, check)
            ran = "s" if is_slow(entry, check) else "✓"
            cells.append(ran if entry.name in COVERED[check] else "" if reason is None else str(numbers[reason]))
        lines.append(f"| {entry.name} | {' | '.join(cells)} |")
    lines += ["", "Checks: " + "; ".join(f"**{letter}** {what}" for letter, what in CHECKS.items()) + "."]
    lines += [
        "",
        "✓: in `make test`. s: in `make test-slow`; the parts of the flow, and another flow of its architecture,",
    ]
    lines += ["run the check in `make test`.", "", "Reasons for not applying:", ""]
    lines += [f"{number}. {reason.value}" for reason, number in numbers.items()]
    return "\n".join(lines)


def test_no_entry_is_left_out_of_a_check_without_a_reason() -> None:
    _import_all_checks()
    assert blanks(COVERED) == []


def test_every_reason_in_the_closed_list_is_used() -> None:
    used = {reason_against(entry, check) for entry in ENTRIES for check in CHECKS}
    assert set(Reason) - used == set()


def test_flows_of_every_sort_run_all_checks() -> None:
    whole = [entry for entry in ENTRIES if entry.architecture is not None and entry.name not in CHAINS]
    assert {entry.architecture for entry in whole} == set(names())
    sorts = {(built(entry.name).kind, len(entry.event_shape), str(entry.context)) for entry in whole}
    assert {kind for kind, _, _ in sorts} == {"exact", "bound", "estimate"}
    assert {(rank, context) for _, rank, context in sorts} >= {(1, "(2,)"), (1, "labels"), (3, "labels")}


@pytest.mark.parametrize("check", CHECKS)
def test_every_check_runs_over_something(check: str) -> None:
    _import_all_checks()
    assert COVERED[check]


def test_the_matrix_in_the_documentation_is_up_to_date() -> None:
    _import_all_checks()
    assert not out_of_date("verification.md", _START, _END, matrix())
