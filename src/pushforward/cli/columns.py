"""`pushforward columns`: the kinds of the columns of a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pushforward.cli.parameters import DATA

Kinds = Annotated[
    tuple[str, ...],
    Parameter(
        name="--kind",
        consume_multiple=False,
        show_default=False,
        group=DATA,
        help="kind of a column, COLUMN=KIND, such as angle=period:0:360; once for each column.",
    ),
]


def columns(
    table: Annotated[Path, Parameter(help="a file ending in .csv, .tsv (also with .gz), .parquet or .npy.")],
    /,
    *,
    kind: Kinds = (),
    json: Annotated[bool, Parameter(help="print the plan as JSON.")] = False,
) -> None:
    """Show the kind of each column of a table: what a model makes of it, and why.

    Each kind is guessed from the data. Correct a guess with --kind: real, positive, bounded:LOW:HIGH, integer,
    category, atoms:VALUE,VALUE (values with a probability of their own, such as 0 or -999), period:LOW:HIGH, date, id,
    index, weight or ignore. Atoms can be joined to another kind, as in rain=positive+atoms:0.

    Names in parentheses are columns that are no part of the density: constants, copies of other columns, row numbers,
    weights.
    """
    from shutil import get_terminal_size

    from pushforward.cli.progress import tell
    from pushforward.data.arrow_tables import read_arrow
    from pushforward.estimators.columns.hints import parse_assignments
    from pushforward.estimators.columns.plan import ColumnPlan

    kinds = parse_assignments(kind)
    content = read_arrow(table)
    for note in content.notes:
        tell(f"note: {note}")
    plan = ColumnPlan.guess(content.table, kinds)
    print(plan.to_json() if json else plan.summary(max(60, get_terminal_size().columns)))
