"""The tables of the benchmark: which rows and columns, how they are divided, and the variance floor.

A density has no upper bound on a value that repeats: a model that puts an ever narrower peak there wins without having
learned anything. Three things keep the tables from being decided by that, and they are the same for every model.

- Repeated rows, rows of zeros and columns with an atom are left out, as each table's `Recipe` says.
- Values that were rounded to a visible step get uniform noise as wide as that step.
- The floor: after standardising on the training part, every value of every part gets Gaussian noise of standard
  deviation ``floor``, drawn once. What is estimated and scored is hence the table's density smoothed by a Gaussian of
  that width, which no model can beat by being narrower.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pushforward.data import split
from pushforward.data.dataset import DataSet, table_set
from pushforward.data.tables import read_csv
from pushforward.errors import DataError

Array = np.ndarray

# A column in which one value has more than this fraction of the rows is discrete, or as good as that.
ATOM = 0.01
# The rows' division and all noise come from this seed: a table is the same for every model and every run.
SEED = 0
# Standard deviation of the noise, in units of a column's own.
FLOOR = 0.003


@dataclass(frozen=True)
class Recipe:
    """What is done to the raw table: rows first, then columns, then noise of the resolution."""

    file: str
    columns: tuple[str, ...] | None = None
    distinct_rows: bool = False
    rows_of_zeros: bool = True
    atoms: bool = True
    spread_steps: bool = False


_POWER = (
    "Global_active_power",
    "Global_reactive_power",
    "Voltage",
    "Global_intensity",
    "Sub_metering_1",
    "Sub_metering_2",
)

RECIPES: dict[str, Recipe] = {
    "protein": Recipe("uci/protein/data.csv.gz", distinct_rows=True),
    "kin40k": Recipe("uci/kin40k/data.csv.gz"),
    "bike": Recipe("uci/bike/data.csv.gz", atoms=False),
    "concrete": Recipe("uci/concrete/data.csv.gz", atoms=False),
    "parkinsons": Recipe("uci/parkinsons/data.csv.gz", atoms=False, rows_of_zeros=False, spread_steps=True),
    "power_hourly": Recipe(
        "power_hourly/clean_household_power_consumption.csv",
        columns=_POWER,
        atoms=False,
        rows_of_zeros=False,
        spread_steps=True,
    ),
}
# Every column of bike has an atom: it is known, so that asking for it gives the reason, but it is no default.
TABLES = tuple(name for name in RECIPES if name != "bike")


@dataclass(frozen=True)
class Table:
    """The three parts ``(N, D)``, float64, standardised and with the floor's noise; ``notes`` say what was done."""

    name: str
    train: Array
    validation: Array
    test: Array
    floor: float
    notes: tuple[str, ...]

    @property
    def features(self) -> int:
        return self.train.shape[1]

    def data_set(self) -> DataSet:
        """The training part as the data set that defaults are chosen for."""
        return table_set(self.name, self.train, [f"x{i}" for i in range(self.features)])


def prepare(name: str, folder: Path, floor: float = FLOOR) -> Table:
    """The table of that name from the files in ``folder``; raises DataError where it has no column left."""
    recipe = RECIPES[name]
    raw = read_csv(folder / recipe.file, columns=recipe.columns).x
    x, notes = cleaned(name, raw, recipe)
    parts = split(table_set(name, x, [f"x{i}" for i in range(x.shape[1])]), SEED)
    mean, scale = x[parts.train].mean(0), x[parts.train].std(0)
    rng = np.random.default_rng([SEED, 1])
    smooth = (x - mean) / scale + floor * rng.standard_normal(x.shape)
    return Table(name, smooth[parts.train], smooth[parts.validation], smooth[parts.test], floor, tuple(notes))


def cleaned(name: str, x: Array, recipe: Recipe) -> tuple[Array, list[str]]:
    """Rows and columns as the recipe wants them, ``(N, D)``, and a note on each thing that was done."""
    notes: list[str] = []
    if recipe.distinct_rows:
        x = _keep(x, first_of_each(x), "repeated rows removed", notes)
    if not recipe.rows_of_zeros:
        x = _keep(x, (x != 0).any(1), "rows of zeros removed", notes)
    if not recipe.atoms:
        fractions = np.array([largest_atom(column) for column in x.T])
        discrete = np.flatnonzero(fractions > ATOM)
        if len(discrete) == x.shape[1]:
            raise DataError(
                f"{name}: no column is left, for each has a value that more than {ATOM:.0%} of the rows share "
                f"(the least frequent: {fractions.min():.1%})"
            )
        if len(discrete):
            notes.append(f"columns {', '.join(map(str, discrete))} left out: an atom above {ATOM:.0%}")
        x = x[:, fractions <= ATOM]
    if recipe.spread_steps:
        steps = np.array([resolution(column) for column in x.T])
        x = x + steps * (np.random.default_rng([SEED, 0]).random(x.shape) - 0.5)
        notes.append(f"uniform noise of one step: {', '.join(f'{step:g}' for step in steps)}")
    notes.append(f"{x.shape[0]:,} rows of {x.shape[1]}")
    return x, notes


def first_of_each(x: Array) -> Array:
    """Which rows are the first of their kind, (N,) bool."""
    keep = np.zeros(len(x), dtype=bool)
    keep[np.unique(x, axis=0, return_index=True)[1]] = True
    return keep


def largest_atom(column: Array) -> float:
    """The fraction of the rows that the most frequent value has."""
    return float(np.unique(column, return_counts=True)[1].max() / len(column))


def resolution(column: Array) -> float:
    """The step to which the values of a column were rounded: the smallest gap between two of them, to one digit.

    Gaps that are only rounding errors of arithmetic, below 1e-9 of the column's range, do not count. 0 for a constant.
    """
    gaps = np.diff(np.unique(column))
    gaps = gaps[gaps > 1e-9 * np.ptp(column)]
    if not len(gaps):
        return 0.0
    step = float(gaps.min())
    return round(step, -math.floor(math.log10(step)))


def _keep(x: Array, rows: Array, what: str, notes: list[str]) -> Array:
    if not rows.all():
        notes.append(f"{len(x) - int(rows.sum()):,} {what}")
    return x[rows]
