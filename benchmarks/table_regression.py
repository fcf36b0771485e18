"""Predictive distributions on UCI sets: FlowRegressor next to NGBoost, CatBoost, LightGBM and a linear Gaussian.

    export PUSHFORWARD_DATA=DATA
    python benchmarks/table_regression.py --splits 0,1,2 --out runs/table_regression.jsonl     # everything, hours
    python benchmarks/table_regression.py --tables yacht --models linear,flow --seconds 10     # two cells
    python benchmarks/table_regression.py --markdown --out runs/table_regression.jsonl         # the finished cells

One JSON line for each finished cell (table, model, split, seed, seconds); cells that have theirs are skipped. The
splits are the ten published ones of the sets. Figures over the rows held out: the negative log-likelihood in nats, in
the units of the target; the CRPS, twice the mean pinball loss of thirty quantiles at equal steps, divided by the
standard deviation of the target; the fraction of rows inside the interval of 90 % between two of these quantiles; and
seconds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from cell_program import (
    Cell,
    Figure,
    counts,
    data_folder,
    newest,
    numbers,
    parser_of,
    pivot,
    run_cells,
    stopwatch,
    timed_title,
)
from cells import Cells
from regressors import REGRESSORS

from pushforward.data.tables import read_csv

Array = np.ndarray
SETS = (
    "yacht",
    "autompg",
    "housing",
    "energy",
    "concrete",
    "airfoil",
    "wine",
    "skillcraft",
    "parkinsons",
    "pumadyn32nm",
    "kin40k",
    "protein",
)
KEY = ("table", "model", "split", "seed", "seconds")
# Middles of thirty equal parts, 5 % and 95 % among them: their mean pinball loss is half the CRPS.
LEVELS = tuple(round((i + 0.5) / 30, 6) for i in range(30))
_INTERVAL = (LEVELS.index(0.05), LEVELS.index(0.95))
FIGURES = (
    Figure("nll", "Negative log-likelihood, nats a row", more_is_better=False),
    Figure("crps", "CRPS in standard deviations of the target", more_is_better=False, digits=4),
    Figure(
        "coverage_error", "Distance of the coverage of 90 % intervals to 90 %, in %", more_is_better=False, digits=1
    ),
    Figure("coverage", "Coverage of 90 % intervals, %", more_is_better=None, digits=1),
    Figure("took", "Seconds of a fit", more_is_better=False, digits=1),
)


@lru_cache(maxsize=1)
def _set(name: str) -> tuple[Array, Array]:
    """All rows ``(N, D)``, the target last, and the masks of the splits ``(N, 10)``."""
    folder = data_folder() / "uci" / name
    return read_csv(folder / "data.csv.gz").x, read_csv(folder / "test_mask.csv.gz").x == 1


def pinball(y: Array, quantiles: Array, levels: Sequence[float]) -> Array:
    """``(N,)``: the mean over the levels of the pinball loss."""
    above = y[:, None] - quantiles
    return np.asarray(np.maximum(np.asarray(levels) * above, (np.asarray(levels) - 1) * above).mean(1))


def do(cell: Cell) -> Mapping[str, Any]:
    """Fit the regressor of a cell and score the rows held out."""
    rows, masks = _set(cell["table"])
    held_out = masks[:, cell["split"]]
    train, test = rows[~held_out], rows[held_out]
    with stopwatch() as took:
        predict = REGRESSORS[cell["model"]](train[:, :-1], train[:, -1], LEVELS, cell["seconds"], cell["seed"])
    with stopwatch() as predicting:
        predicted = predict(test[:, :-1])
        quantiles, log_density = predicted.quantiles(LEVELS), predicted.log_density(test[:, -1])
    low, high = (quantiles[:, i] for i in _INTERVAL)
    coverage = 100 * float(((low <= test[:, -1]) & (test[:, -1] <= high)).mean())
    figures = {
        "crps": 2 * float(pinball(test[:, -1], quantiles, LEVELS).mean()) / float(train[:, -1].std()),
        "coverage": coverage,
        "coverage_error": abs(coverage - 90),
        "rows": len(train),
        "test_rows": len(test),
        "took": took(),
        "predicting": predicting(),
    }
    return figures if log_density is None else {"nll": -float(log_density.mean()), **figures}


def wanted(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """All cells that the arguments ask for, one set and split after the other."""
    for seed in arguments.seeds:
        for table in arguments.tables:
            for split in arguments.splits:
                for model in arguments.models:
                    for seconds in arguments.seconds if model == "flow" else [None]:
                        cell = {"table": table, "model": model, "split": split, "seed": seed, "seconds": seconds}
                        yield cell


def parse_arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The command line; ``given`` stands in for the program's own."""
    parser = parser_of(__doc__, SETS, tuple(REGRESSORS), "runs/table_regression.jsonl")
    parser.add_argument("--splits", type=counts, default=[0], help="0 to 9, with commas")
    parser.add_argument(
        "--seconds",
        type=numbers,
        default=[60.0],
        help="times of FlowRegressor",
    )
    return parser.parse_args(given)


def main() -> int:
    arguments = parse_arguments()
    cells = Cells(arguments.out, KEY)
    if arguments.markdown:
        lines = newest(cells)
        print("\n\n".join(pivot(lines, figure, model=timed_title) for figure in FIGURES))
        return 0
    return run_cells(arguments, cells, wanted(arguments), do)


if __name__ == "__main__":
    sys.exit(main())
