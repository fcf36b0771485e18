"""The gaps of a table in a file, filled by draws from its model, in blocks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow

from pushforward.cli.output import require_output
from pushforward.cli.parameters import Running
from pushforward.cli.progress import show_progress, tell
from pushforward.cli.table_models import density_of, rows_for
from pushforward.cli.table_rows import read_row_blocks
from pushforward.cli.typed_output import TYPED, open_typed
from pushforward.data.reading import naming
from pushforward.errors import OptionError

_BLOCK, _NUMBERS = 20_000, ("row", "draw")


def run_impute(path: Path, file: Path, *, out: Path | None, draws: int, force: bool, running: Running) -> None:
    """Fill and write; see `pushforward.cli.impute.impute`."""
    require_output(out, TYPED, force)
    if draws < 1:
        raise OptionError(f"draws must be at least 1, got {draws}")
    model = density_of(path, running, "impute")
    random = np.random.RandomState(running.chosen_seed % 2**32)
    rows = filled = left = 0
    with open_typed(out) as write, show_progress("imputing", None) as advance:
        for block in read_row_blocks(file, max(1, _BLOCK // draws)):
            content = rows_for(model.plan_, block, file, rows)
            with naming(file):
                completed = model.impute(content, draws, random_state=random)
            tables = list(_whole(block, [completed] if draws == 1 else completed))
            gaps = _gaps(block, model.plan_.names)
            remaining = _gaps(tables[0], model.plan_.names)
            filled, left = filled + gaps - remaining, left + remaining
            write(tables[0] if draws == 1 else _numbered(tables, rows))
            rows += len(block)
            advance(len(block))
    tell(f"{rows:,} rows: {filled:,} gaps filled")
    if left:
        tell(f"note: {left:,} gaps stay, in rows with content that the model does not know; score names it")


def _whole(block: Any, completed: list[Any]) -> Iterator[Any]:
    """The block with the completed columns in the places of its own."""
    for table in completed:
        known = set(table.column_names)
        yield pyarrow.table({n: table.column(n) if n in known else block.column(n) for n in block.column_names})


def _gaps(table: Any, names: tuple[str, ...]) -> int:
    return sum(int(table.column(name).null_count) for name in names)


def _numbered(tables: list[Any], first: int) -> Any:
    """Completions one after the other, with the numbers of their rows and draws."""
    taken = [name for name in _NUMBERS if name in tables[0].column_names]
    if taken:
        raise OptionError(f"--draws: the table has a column {taken[0]!r} of its own, which numbers the completions")
    parts = []
    for draw, table in enumerate(tables):
        numbers = {"row": np.arange(first, first + len(table)), "draw": np.full(len(table), draw)}
        own = {name: table.column(name) for name in table.column_names}
        parts.append(pyarrow.table({**numbers, **own}))
    return pyarrow.concat_tables(parts)
