"""Held-out log-density by the nets of conditional densities, of dates as plain numbers and with their calendar.

    export PUSHFORWARD_DATA=DATA
    python benchmarks/dates.py --tables power_hourly --steps 2500

One net for each table and treatment, with equal steps and seed. Figures are nats a held-out row in the units of the
table, and of these the columns that differ by more than 0.03.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import torch
from cell_program import data_folder, names_of
from mixed_tables import SOURCES, divided

from pushforward.estimators.columns.plan import ColumnPlan
from pushforward.estimators.encoded import EncodedRows
from pushforward.estimators.models.column_chain import Chain
from pushforward.estimators.models.column_net import ColumnNet
from pushforward.estimators.models.fit_columns import ColumnNetOptions, fit_columns

_SHOWN = 0.03


def parse_arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", default="power_hourly,weather", type=names_of(SOURCES))
    parser.add_argument("--steps", default=2500, type=int)
    return parser.parse_args(words)


def as_numbers(plan: ColumnPlan) -> ColumnPlan:
    """The plan with its dates as plain numbers."""
    columns = []
    for column in plan.columns:
        if column.kind.kind == "date":
            kind = column.kind.model_copy(update={"change": None, "periods": ()})
            column = column.model_copy(update={"kind": kind})
        columns.append(column)
    return plan.model_copy(update={"columns": tuple(columns)})


def scores(plan: ColumnPlan, train: EncodedRows, test: EncodedRows, steps: int) -> dict[str, float]:
    """The mean score of each column, and of the rows as "all"."""
    held_out = len(train) // 10
    rows, validation = train.take(torch.arange(held_out, len(train))), train.take(torch.arange(held_out))
    net = ColumnNet(plan.shapes, hidden=128)
    fit_columns(net, rows, validation, options=ColumnNetOptions(steps=steps, patience=1000))
    chain = Chain([net])
    terms = chain.log_terms(test).mean(0)
    found = dict.fromkeys(plan.names, 0.0)
    for place, (_, column) in enumerate(chain.parts):
        found[plan.names[column]] += float(terms[place])
    slopes = test.log_slopes.mean(0)
    found = {name: found[name] + float(slopes[place]) for place, name in enumerate(plan.names)}
    return {"all": sum(found.values()), **found}


def main() -> None:
    arguments = parse_arguments(sys.argv[1:])
    for name in arguments.tables:
        table = divided(name, data_folder(), 0)
        with_calendar = ColumnPlan.guess(table.train)
        results = []
        for plan in (as_numbers(with_calendar), with_calendar):
            generator = torch.Generator().manual_seed(0)
            train, test = (plan.encode(rows, generator=generator) for rows in (table.train, table.test))
            results.append(scores(plan, train, test.take(~test.impossible), arguments.steps))
        for column, before in results[0].items():
            if column == "all" or abs(results[1][column] - before) > _SHOWN:
                print(
                    f"{name} {column}: {before:.2f} as a number, {results[1][column]:.2f} with the calendar", flush=True
                )


if __name__ == "__main__":
    main()
