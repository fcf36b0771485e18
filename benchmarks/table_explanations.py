"""Rows in which one value was swapped: is the swapped column the first that FlowDensity.explain names?

    export PUSHFORWARD_DATA=DATA
    python benchmarks/table_explanations.py --out runs/table_explanations.jsonl                  # everything
    python benchmarks/table_explanations.py --tables diamonds --models flow,gaussian --seconds 10  # two cells
    python benchmarks/table_explanations.py --markdown --out runs/table_explanations.jsonl       # the finished cells

One JSON line for each finished cell (table, model, seed, seconds); cells that have theirs are skipped. In each of some
held-out rows one column, drawn at random among those that are modelled, gets the value of another row. Many swaps
change nothing that anybody could see, so three shares are given: of all swapped rows whose value changed, of those
whose score fell by more than 3 nats, and of those that then score below 99 % of the held-out rows as they were, which
are the rows that one asks about. The model "gaussian" names the column of the largest residual given all others, of a
Gaussian of the encoded values.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from cell_program import Cell, Figure, data_folder, numbers, parser_of, run_or_print, stopwatch
from mixed_tables import SOURCES, divided

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray
TABLES = ("california_housing", "diamonds", "power_hourly", "bike", "protein", "parkinsons")
ROWS = 500
# Swapped rows below this fraction of the scores of untouched rows are those that one asks about.
_LOW = 0.01
# A swap is visible where it lowers the score by so many nats.
_FALL = 3.0
FIGURES = (
    Figure("named_low", "Swapped rows with a low score: the swapped column is named first, %", digits=1),
    Figure("named_fallen", "Swapped rows whose score fell by 3 nats: the swapped column is named first, %", digits=1),
    Figure("named", "All swapped rows: the swapped column is named first, %", digits=1),
    Figure("low", "Swapped rows that have a low score, %", digits=1),
    Figure("fallen", "Swapped rows whose score fell by 3 nats, %", digits=1),
    Figure("took", "Seconds of a fit", more_is_better=False, digits=0),
)


class Explainer(Protocol):
    """A density of a table that says which column makes a row unusual."""

    def scores(self, rows: pd.DataFrame) -> Array:
        """Log-density, ``(N,)``."""

    def named(self, rows: pd.DataFrame) -> Sequence[str]:
        """For each row the name of the column that lowers its score most."""


class Flow:
    """`pushforward.estimators.FlowDensity`."""

    def __init__(self, table: pd.DataFrame, seconds: float, seed: int) -> None:
        from pushforward.estimators import FlowDensity

        self.model = FlowDensity(max_seconds=seconds, random_state=seed).fit(table)

    def scores(self, rows: pd.DataFrame) -> Array:
        return np.asarray(self.model.score_samples(rows), dtype=float)

    def named(self, rows: pd.DataFrame) -> Sequence[str]:
        explained = self.model.explain(rows)
        return [str(explained.columns[i]) for i in np.argmin(np.asarray(explained, dtype=float), axis=1)]


class Gaussian:
    """A Gaussian of the encoded values and states: residuals of each column given all others."""

    def __init__(self, table: pd.DataFrame, seconds: float, seed: int) -> None:
        from pushforward.estimators.columns.plan import ColumnPlan

        self.plan = ColumnPlan.guess(table)
        coded = [[i] * (int(s.value) + (s.states if s.states > 1 else 0)) for i, s in enumerate(self.plan.shapes)]
        self.column_of = np.array([i for of in coded for i in of])
        x = self._coded(table)
        self.centre, self.scale = x.mean(0), x.std(0) + 1e-9
        z = (x - self.centre) / self.scale
        self.precision = np.linalg.inv(z.T @ z / len(z) + 1e-3 * np.eye(z.shape[1]))

    def _coded(self, table: pd.DataFrame) -> Array:
        rows = self.plan.encode(table, generator=torch.Generator().manual_seed(0))
        parts = []
        for c, shape in enumerate(self.plan.shapes):
            parts += [rows.values[:, c, None]] if shape.value else []
            parts += [rows.states[:, c, None] == torch.arange(shape.states)] if shape.states > 1 else []
        return torch.cat([part.double() for part in parts], 1).numpy()

    def scores(self, rows: pd.DataFrame) -> Array:
        z = (self._coded(rows) - self.centre) / self.scale
        return -0.5 * np.einsum("ni,ij,nj->n", z, self.precision, z)

    def named(self, rows: pd.DataFrame) -> Sequence[str]:
        z = (self._coded(rows) - self.centre) / self.scale
        residuals = np.abs(z @ self.precision) / np.sqrt(np.diag(self.precision))
        return [self.plan.names[self.column_of[i]] for i in residuals.argmax(1)]


FLOW = "flow"
EXPLAINERS: dict[str, Callable[[Any, float, int], Explainer]] = {FLOW: Flow, "gaussian": Gaussian}


def swapped(rows: pd.DataFrame, columns: Sequence[str], seed: int) -> tuple[pd.DataFrame, Array]:
    """Rows each with one value of another row, and the name of the column, for those whose value is another one.

    The rows keep their index.
    """
    rng = np.random.default_rng(seed)
    chosen = rng.choice(np.asarray(columns, dtype=object), len(rows))
    donors = rng.permutation(len(rows))
    result = rows.copy()
    for name in columns:
        places = np.flatnonzero(chosen == name)
        result.loc[result.index[places], name] = rows[name].to_numpy()[donors[places]]
    old, new = (np.array([frame.at[i, c] for i, c in zip(rows.index, chosen, strict=True)]) for frame in (rows, result))
    changed = ~((old == new) | ((old != old) & (new != new)))
    return result[changed], chosen[changed]


def do(cell: Cell) -> Mapping[str, Any]:
    """Fit the model of a cell and ask it about swapped rows."""
    from pushforward.estimators.columns.plan import ColumnPlan

    table = divided(cell["table"], data_folder(), cell["seed"])
    plan = ColumnPlan.guess(table.train)
    rows, columns = swapped(table.test.iloc[:ROWS], plan.names, cell["seed"])
    # A swap that contradicts a column which only repeats others gives density zero whatever the model.
    possible = ~plan.encode(rows).impossible.numpy()
    places = rows.index.to_numpy()[possible]
    rows, columns = rows[possible].reset_index(drop=True), columns[possible]
    with stopwatch() as took:
        model = EXPLAINERS[cell["model"]](table.train, cell["seconds"], cell["seed"])
    usual = model.scores(table.test)
    scores = model.scores(rows)
    low, fallen = scores < np.quantile(usual[np.isfinite(usual)], _LOW), scores < usual[places] - _FALL
    right = np.array(model.named(rows), dtype=object) == columns
    return {
        "named": 100 * float(right.mean()),
        "named_low": 100 * float(right[low].mean()) if low.any() else math.nan,
        "named_fallen": 100 * float(right[fallen].mean()) if fallen.any() else math.nan,
        "fallen": 100 * float(fallen.mean()),
        "low": 100 * float(low.mean()),
        "swapped": len(rows),
        "by_column": {name: f"{right[columns == name].sum()} of {(columns == name).sum()}" for name in plan.names},
        "took": took(),
    }


def parse_arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The command line; ``given`` stands in for the program's own."""
    parser = parser_of(__doc__, tuple(SOURCES), tuple(EXPLAINERS), "runs/table_explanations.jsonl")
    parser.set_defaults(tables=list(TABLES))
    parser.add_argument("--seconds", type=numbers, default=[60.0], help="times of FlowDensity, with commas; default 60")
    return parser.parse_args(given)


def main() -> int:
    return run_or_print(parse_arguments(), FIGURES, do, timed=[FLOW])


if __name__ == "__main__":
    sys.exit(main())
