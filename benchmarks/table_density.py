"""Held-out log-density of tables as they come: FlowDensity and densities of other kinds and libraries.

    export PUSHFORWARD_DATA=DATA
    python benchmarks/table_density.py --out runs/table_density.jsonl                       # everything, hours
    python benchmarks/table_density.py --tables bike --models flow,mixture --seeds 1        # two cells
    python benchmarks/table_density.py --markdown --out runs/table_density.jsonl            # the finished cells

One JSON line for each finished cell (table, model, seed, seconds); cells that have theirs are skipped, so that a run
goes on where it was stopped. Each seed is another division of the rows. Figures are nats a held-out row in the units of
the table: log P of the discrete part plus log-density of the continuous part. All models get the rows of one column
plan, the one that FlowDensity makes; mixed_tables.py and density_peers.py say what is done to tables and for peers.
FlowDensity gets the seconds of the cell; so do its model alone, of two processors, and zuko's flow, of one. Mixtures
get at most 120, the others as long as they take. The scores of the rows are kept beside the lines, and the last tables
of --markdown pair them.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cell_program import (
    KEY,
    Cell,
    Figure,
    data_folder,
    grid,
    newest,
    numbers,
    parser_of,
    pivot,
    run_cells,
    stopwatch,
    timed_title,
)
from cells import Cells
from density_peers import JOINT_MIXTURE, PEERS, JointMixture, PeerDensity
from mixed_tables import SOURCES, MixedTable, divided

from pushforward.estimators.columns.plan import ColumnPlan
from pushforward.estimators.columns.tables import Table, read_table
from pushforward.estimators.encoded import ColumnShape, EncodedRows
from pushforward.estimators.models.fit_table import fit_table
from pushforward.estimators.models.table_model import RowScores
from pushforward.estimators.scoring import places_in_cells

Array = np.ndarray
FLOW = "flow"
TABLE_MODEL = "table-model"
MODELS = (FLOW, TABLE_MODEL, JOINT_MIXTURE, *PEERS)
# Models whose time a cell decides; of the others there is one cell for each seed.
TIMED = (FLOW, TABLE_MODEL, "zuko-nsf")
OWN = (FLOW, TABLE_MODEL)
# Seconds of the processor for mixtures, which have no time of their own in a cell.
LONG = 120.0
FIGURES = (
    Figure("test", "Nats a held-out row"),
    Figure("continuous", "Of these, the log-density of the continuous part, given the discrete one"),
    Figure("impossible", "Held-out rows of density zero, which are in no mean", more_is_better=None, digits=0),
    Figure("took", "Seconds of a fit", more_is_better=False, digits=0),
)


@lru_cache(maxsize=1)
def table_of(name: str, seed: int) -> MixedTable:
    """The newest table stays in memory for the next model."""
    return divided(name, data_folder(), seed)


def flow_scores(table: MixedTable, cell: Cell) -> tuple[Array, dict[str, Any]]:
    """The score of each held-out row by FlowDensity, and the notes for the line."""
    from pushforward.estimators import FlowDensity

    with stopwatch() as took:
        model = FlowDensity(max_seconds=cell["seconds"], random_state=cell["seed"]).fit(table.train)
    return np.asarray(model.score_samples(table.test), dtype=float), {"took": took()}


class TableDensity:
    """The model inside FlowDensity, with seconds of two processors, whatever else the machine does."""

    def __init__(
        self, name: str, rows: EncodedRows, shapes: Sequence[ColumnShape], *, seconds: float, seed: int
    ) -> None:
        self.model = fit_table(rows, shapes, seconds=seconds, seed=seed, clock=lambda: time.process_time() / 2)
        self.notes = {
            "members": [[name, round(states, 3), round(values, 3)] for name, states, values in self.model.members]
        }
        self.log_prob = self.model.log_prob


# Densities of encoded rows that model states and values at once; all others are a `PeerDensity`.
WHOLE: dict[str, Callable[..., Any]] = {TABLE_MODEL: TableDensity, JOINT_MIXTURE: JointMixture}


def peer_scores(table: MixedTable, cell: Cell) -> tuple[Array, dict[str, Any]]:
    """The score of each held-out row by another density, in the units of the table."""
    plan = ColumnPlan.guess(table.train)
    train = plan.encode(table.train, generator=torch.Generator().manual_seed(cell["seed"]))
    seconds, kind = cell["seconds"] or LONG, WHOLE.get(cell["model"], PeerDensity)
    with stopwatch() as took:
        model = kind(cell["model"], train.take(~train.impossible), plan.shapes, seconds=seconds, seed=cell["seed"])
    scores = _averaged(plan, read_table(table.test), model)
    possible = scores.discrete > -torch.inf
    parts = {name: float(part[possible].mean()) for name, part in scores._asdict().items()}
    return scores.total.numpy(), {"took": took(), **parts, **model.notes}


def _averaged(plan: ColumnPlan, test: Table, model: Any) -> RowScores:
    """The scores of rows, with densities averaged over the same places in the cells of integers for every model.

    FlowDensity integrates them where the encoding bends, which needs conditional densities that other models lack.
    """
    discrete, continuous = torch.zeros(0), list[torch.Tensor]()
    for places in places_in_cells(plan.dequantised):
        rows = plan.encode(test, places=places)
        discrete, values = model.log_prob(rows)
        continuous.append(values + rows.log_slopes.sum(1))
    mean = torch.stack(continuous).logsumexp(0) - math.log(len(continuous))
    return RowScores(discrete, mean.masked_fill(discrete == -torch.inf, 0.0))


def do(cells: Cells, cell: Cell) -> Mapping[str, Any]:
    """Fit the model of a cell and score the rows held out. Rows that the plan calls impossible are counted apart."""
    table = table_of(cell["table"], cell["seed"])
    scores, notes = (flow_scores if cell["model"] == FLOW else peer_scores)(table, cell)
    np.save(_scores_file(cells, cell), scores)
    possible = scores[scores > -np.inf]
    return {
        "test": float(possible.mean()),
        "standard_error": float(possible.std(ddof=1) / math.sqrt(len(possible))),
        "rows": len(table.train),
        "test_rows": len(scores),
        "impossible": int((scores == -np.inf).sum()),
        **notes,
    }


def markdown(cells: Cells) -> str:
    """The finished cells: figures, and FlowDensity's difference to the best peer, in pairs of rows."""
    lines = newest(cells)
    return "\n\n".join([*(pivot(lines, figure, model=timed_title) for figure in FIGURES), *_differences(cells, lines)])


def _differences(cells: Cells, lines: Sequence[Cell]) -> Iterator[str]:
    """A table for each of our models and times: per table, the peer that is best and the mean difference to it."""
    for own in sorted({timed_title(line) for line in lines if line["model"] in OWN}):
        yield f"{own} minus the best peer, nats a row:"
        rows = ["| table | best peer | difference | standard error |", "|---|---|---|---|"]
        for table in dict.fromkeys(line["table"] for line in lines):
            best, mean, error = _difference(cells, [line for line in lines if line["table"] == table], own)
            if best:
                rows.append(f"| {table} | {best} | {mean:+.3f} | {error:.3f} |")
        yield "\n".join(rows)


def _difference(cells: Cells, lines: Sequence[Cell], title: str) -> tuple[str, float, float]:
    """The best peer, the mean over seeds of the difference to it, and its standard error over the rows."""
    own = {line["seed"]: line for line in lines if timed_title(line) == title}
    peers: dict[str, dict[int, Cell]] = {}
    for line in lines:
        if line["model"] not in OWN and line["seed"] in own:
            peers.setdefault(timed_title(line), {})[line["seed"]] = line
    complete = {name: of for name, of in peers.items() if len(of) == len(own)}
    if not complete:
        return "", math.nan, math.nan
    best = max(complete, key=lambda name: sum(line["test"] for line in complete[name].values()))
    means, errors = [], []
    for seed, line in own.items():
        difference = np.load(_scores_file(cells, line)) - np.load(_scores_file(cells, complete[best][seed]))
        difference = difference[np.isfinite(difference)]
        means.append(difference.mean())
        errors.append(difference.std(ddof=1) / math.sqrt(len(difference)))
    return best, float(np.mean(means)), float(np.linalg.norm(errors) / len(errors))


def _scores_file(cells: Cells, cell: Cell) -> Path:
    return cells.folder(cell).parent / f"{cells.folder(cell).name}.npy"


def parse_arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The command line; ``given`` stands in for the program's own."""
    parser = parser_of(__doc__, tuple(SOURCES), MODELS, "runs/table_density.jsonl")
    parser.add_argument(
        "--seconds",
        type=numbers,
        default=[10.0, 60.0],
        help=f"with commas; the times of {', '.join(TIMED)}; default 10,60",
    )
    return parser.parse_args(given)


def main() -> int:
    arguments = parse_arguments()
    cells = Cells(arguments.out, KEY)
    if arguments.markdown:
        print(markdown(cells))
        return 0
    return run_cells(arguments, cells, grid(arguments, TIMED), lambda cell: do(cells, cell))


if __name__ == "__main__":
    sys.exit(main())
