"""Synthetic tables: FlowDensity's samples next to those of SDV's Gaussian copula and CTGAN.

    export PUSHFORWARD_DATA=DATA
    python benchmarks/table_synthesis.py --out runs/table_synthesis.jsonl                     # everything, hours
    python benchmarks/table_synthesis.py --tables penguins --models flow,copula --seconds 10  # two cells
    python benchmarks/table_synthesis.py --markdown --out runs/table_synthesis.jsonl          # the finished cells

One JSON line for each finished cell (table, model, seed, seconds); cells that have theirs are skipped. Each model is
fitted to the rows for fitting of a mixed table and draws as many rows as are held out. Figures: the fraction of rows
that keep every bound, whole number and label, and have no gap where there are none; the fraction of the atoms and gaps
whose frequency is kept; the number of columns with another type; the AUC with which a classifier tells the synthetic
rows from those held out; and how near they are to rows of the fit, so that copies show. The model "train" is the
reference: rows for fitting, drawn at random.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from cell_program import Cell, Figure, data_folder, numbers, parser_of, run_or_print, stopwatch
from mixed_tables import MIXED, MixedTable, divided
from synthetic_checks import broken_rows, changed_types, lost_masses, nearness, two_sample_auc

if TYPE_CHECKING:
    import pandas as pd

# Draws rows of a table, given their number, the seed, and the seconds or epochs of the fit.
Synthesiser = Callable[["MixedTable", int, int, float], "pd.DataFrame"]
FIGURES = (
    Figure("valid", "Rows that keep every bound, whole number, label and presence, %", digits=2),
    Figure("masses_kept", "Atoms and gaps whose frequency is kept, %", digits=0),
    Figure("types_changed", "Columns with another type", more_is_better=False, digits=0),
    Figure("auc", "AUC of the classifier two-sample test, 0.5 is best", more_is_better=False),
    Figure("closer", "Rows nearer to one of the fit than to as many held-out rows, %; 50 is best", None, digits=1),
    Figure("distance", "Median distance to the nearest row of the fit, by that of held-out rows", None, digits=2),
    Figure("copies", "Rows that equal a row of the fit, %", more_is_better=False, digits=2),
    Figure("took", "Seconds of fit and sampling", more_is_better=False, digits=0),
)


@lru_cache(maxsize=1)
def _table(name: str, seed: int) -> MixedTable:
    return divided(name, data_folder(), seed)


def flow(table: MixedTable, count: int, seed: int, seconds: float) -> pd.DataFrame:
    """`pushforward.estimators.FlowDensity`, with the kinds of columns whose bound the rows do not show."""
    from pushforward.estimators import FlowDensity

    model = FlowDensity(max_seconds=seconds, kinds=table.kinds or None, random_state=seed)
    return model.fit(table.train).sample(count)


def copula(table: MixedTable, count: int, seed: int, _: float) -> pd.DataFrame:
    """SDV's GaussianCopulaSynthesizer by its defaults."""
    from sdv.single_table import GaussianCopulaSynthesizer

    return _sdv(GaussianCopulaSynthesizer, table, count, seed)


def ctgan(table: MixedTable, count: int, seed: int, epochs: float) -> pd.DataFrame:
    """SDV's CTGANSynthesizer by its defaults but for the epochs, which are 300 by default."""
    from sdv.single_table import CTGANSynthesizer

    return _sdv(CTGANSynthesizer, table, count, seed, epochs=int(epochs))


def _sdv(kind: Any, table: MixedTable, count: int, seed: int, **options: Any) -> pd.DataFrame:
    from sdv.metadata import Metadata

    np.random.seed(seed)
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = {"rows": table.train}
        metadata = Metadata.detect_from_dataframes(rows)
        for name, column in list(metadata.tables["rows"].columns.items()):
            # Coordinates would be replaced by random places, as personal data.
            if table.train[name].dtype.kind in "iuf" and column["sdtype"] not in ("numerical", "categorical"):
                metadata.update_column(table_name="rows", column_name=name, sdtype="numerical")
        model = kind(metadata, **options)
        model.fit(rows)
        return model.sample(count)["rows"]


def train(table: MixedTable, count: int, seed: int, _: float) -> pd.DataFrame:
    """Rows for fitting, drawn at random without replacement."""
    return table.train.sample(count, random_state=seed, ignore_index=True)


FLOW, CTGAN = "flow", "ctgan"
SYNTHESISERS: dict[str, Synthesiser] = {FLOW: flow, "copula": copula, CTGAN: ctgan, "train": train}


def do(cell: Cell, epochs: int = 300) -> Mapping[str, Any]:
    """Draw a synthetic table and check it. epochs: of CTGAN."""
    table = _table(cell["table"], cell["seed"])
    limit = epochs if cell["model"] == CTGAN else cell["seconds"]
    with stopwatch() as took:
        synthetic = SYNTHESISERS[cell["model"]](table, len(table.test), cell["seed"], limit)
    changed = changed_types(synthetic, table.train)
    faults = broken_rows(synthetic, table.train, table.bounds)
    lost, masses = lost_masses(synthetic, table.train)
    auc, error = two_sample_auc(synthetic, table.test, cell["seed"])
    near = nearness(synthetic, table.train, table.test, cell["seed"])
    return {
        "valid": 100 - 100 * float(np.any(list(faults.values()), axis=0).mean()),
        "faults": {name: int(rows.sum()) for name, rows in faults.items()},
        "masses_kept": 100 * (1 - len(lost) / masses) if masses else 100.0,
        "masses_lost": lost,
        "types_changed": len(changed),
        "changed": changed,
        "auc": auc,
        "auc_error": error,
        "closer": 100 * near.closer,
        "distance": near.distance,
        "copies": 100 * near.copies,
        "rows": len(table.train),
        "test_rows": len(table.test),
        "took": took(),
        **({"epochs": epochs} if cell["model"] == CTGAN else {}),
    }


def parse_arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The command line; ``given`` stands in for the program's own."""
    parser = parser_of(__doc__, MIXED, tuple(SYNTHESISERS), "runs/table_synthesis.jsonl")
    parser.add_argument("--seconds", type=numbers, default=[60.0], help="times of FlowDensity, with commas; default 60")
    parser.add_argument("--epochs", type=int, default=300, help="passes of CTGAN over the rows; default 300")
    return parser.parse_args(given)


def main() -> int:
    arguments = parse_arguments()
    return run_or_print(arguments, FIGURES, partial(do, epochs=arguments.epochs), timed=[FLOW])


if __name__ == "__main__":
    sys.exit(main())
