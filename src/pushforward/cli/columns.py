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
    table: Annotated[
        Path,
        Parameter(
            help="a file ending in .csv, .tsv (also with .gz), .parquet or .npy, of any size, or a folder of parts."
        ),
    ],
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
    from pushforward.cli.table_rows import open_rows
    from pushforward.estimators.columns.hints import parse_assignments
    from pushforward.estimators.columns.plan import ColumnPlan
    from pushforward.estimators.file_samples import read_sample

    kinds = parse_assignments(kind)
    sample = read_sample(open_rows(table), lambda rows: [ColumnPlan.guess(rows, kinds)], None, 0)
    if not sample.complete:
        tell(f"note: guessed from {len(sample.places):,} of {sample.total:,} rows, and checked against all")
    plan = ColumnPlan.guess(sample.counted(), kinds)
    for remark in plan.remarks:
        tell(f"note: {remark}")
    print(plan.to_json() if json else plan.summary(max(60, get_terminal_size().columns)))
