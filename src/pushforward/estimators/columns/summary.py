"""The summary of a plan as a table in text."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pushforward.estimators.columns.column import Column

_MOST_COLUMNS = 200


def summary(columns: Sequence[Column], rows: int, width: int) -> str:
    """A line of counts, then each column: name, kind, treatment and reason, at most ``width`` characters wide."""
    modelled = sum(column.modelled for column in columns)
    counted = "column is" if len(columns) == 1 else "columns are"
    head = f"{rows:,} {'row' if rows == 1 else 'rows'}; {modelled:,} of {len(columns):,} {counted} modelled."
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, width=width)
    table.add_column("column", max_width=width // 4, overflow="fold")
    table.add_column("kind", no_wrap=True)
    table.add_column("treatment", max_width=width * 3 // 10, overflow="fold")
    table.add_column("reason", min_width=width // 4, ratio=1, overflow="fold")
    for column in columns[:_MOST_COLUMNS]:
        name = column.name if column.modelled else f"({column.name})"
        cells = (name, column.kind.label, column.treatment, column.reason)
        table.add_row(*(Text(_printable(cell)) for cell in cells))
    text = StringIO()
    Console(file=text, width=width, color_system=None, force_terminal=False).print(table)
    lines = [head, "", *(line.rstrip() for line in text.getvalue().splitlines() if line.strip())]
    if len(columns) > _MOST_COLUMNS:
        lines.append(f"... and {len(columns) - _MOST_COLUMNS:,} columns more")
    return "\n".join(lines)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
