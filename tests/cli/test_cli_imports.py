"""Only the commands that make a report import the package that draws it."""

import ast
from pathlib import Path

import pushforward.cli

FOLDER = Path(pushforward.cli.__file__).parent
# The commands `fit` and `report`, the job that they share, and the report of a model of a table.
DRAWING = {"reporting", "table_report"}
CALLERS = {"fitting", "report", "table_fit", "table_report"}


def imported(path: Path) -> set[str]:
    """All modules that a file imports, in functions too, with the names taken from them."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def importers(package: str) -> set[str]:
    """The modules of the command line that import ``package`` or a part of it."""
    return {
        path.stem
        for path in FOLDER.glob("*.py")
        if any(name == package or name.startswith(f"{package}.") for name in imported(path))
    }


def test_only_fit_and_report_import_the_report() -> None:
    assert importers("pushforward.reports") == DRAWING
    assert importers("pushforward.cli.reporting") == CALLERS


def test_the_other_commands_take_their_numbers_from_the_evaluation() -> None:
    assert {"edits", "examples", "scoring"} <= importers("pushforward.evaluation")
